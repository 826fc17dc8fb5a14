//! The worker as a process of its own: its command line, its signals and its exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use job_types::Registry;
use service_runtime::documents::variables_help;
use service_runtime::{Quieting, Role, Settings, Termination};

use crate::builder::{Worker, WorkerBuilder};
use crate::config::WorkerConfig;

/// A worker of Work Factory: runs jobs that it fetches from the work server at FAKTORY_URL.
#[derive(Parser)]
#[command(
    version,
    after_help = "Configured by environment variables: --help lists them.",
    after_long_help = variables_help(Role::Worker)
)]
struct Arguments {
    /// Read variables from this file; those set in the environment win
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
    /// Ask the process with the same environment whether it lives; exit code 0: it does
    #[arg(long)]
    healthcheck: bool,
}

/// Runs a worker of these typed jobs until a signal ends it: the whole `main` of a binary. Command
/// line, variables, logs, signals and exit codes are those of Work Factory's own worker.
///
/// The registry is made by a function, because the allocator has to be set up before anything is
/// allocated.
///
/// ```no_run
/// use job_types::jobs::Add;
/// use worker_service::{Allocator, Registry, run};
///
/// // Optional: with the system's allocator a worker takes more processor time.
/// #[global_allocator]
/// static ALLOCATOR: Allocator = Allocator;
///
/// fn main() -> std::process::ExitCode {
///     run(|| Registry::new().with::<Add>())
/// }
/// ```
#[must_use]
pub fn run(jobs: impl FnOnce() -> Registry) -> ExitCode {
    run_with(|builder| builder.register_jobs(&jobs()))
}

/// The same as [`run`] with whatever is registered here: typed jobs, handlers, time limits.
///
/// ```no_run
/// # use worker_service::{Job, Registry};
/// worker_service::run_with(|worker| {
///     worker.register_jobs(&Registry::new()).register_fn("send_mail", |_: Job| async {})
/// })
/// # ;
/// ```
#[must_use]
pub fn run_with(register: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> ExitCode {
    allocator::return_large_blocks();
    let arguments = Arguments::parse();
    service_runtime::run(
        Role::Worker,
        arguments.env_file.as_deref(),
        arguments.healthcheck,
        |settings| {
            let builder = register(Worker::builder(WorkerConfig::from_settings(&settings)));
            until_ended(settings, builder)
        },
    )
}

async fn until_ended(settings: Settings, builder: WorkerBuilder) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    let mut quieting = Quieting::listen(settings.worker.quiet_signal)?;
    let listening = builder.serve_health(settings.worker.bind).await;
    let mut worker =
        listening.context("WORKER_BIND_ADDR says where the worker answers /health")?.start()?;
    let ended = loop {
        tokio::select! {
            signal = termination.signal() => {
                tracing::info!(signal, "ending; a second signal ends at once");
                break Ok(());
            }
            signal = quieting.signal() => {
                tracing::info!(signal, "the worker fetches no more");
                worker.quiet();
            }
            ended = worker.must_stop() => break ended,
        }
    };
    termination.unless_again(worker.stop(settings.process.shutdown_timeout)).await?;
    Ok(ended?)
}
