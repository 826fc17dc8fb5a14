//! The worker as a process of its own: runs the jobs of job-types.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use service_runtime::documents::variables_help;
use service_runtime::{Quieting, Role, Termination};
use worker_service::{Worker, WorkerConfig};

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

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    allocator::return_large_blocks();
    let arguments = Arguments::parse();
    if arguments.healthcheck {
        return service_runtime::healthcheck(Role::Worker, arguments.env_file.as_deref()).into();
    }
    let settings = match service_runtime::start(Role::Worker, arguments.env_file.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return service_runtime::report(&error).into(),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return service_runtime::report(&error).into(),
    };
    let result = runtime.block_on(async {
        let mut termination = Termination::listen()?;
        let mut quieting = Quieting::listen(settings.worker.quiet_signal)?;
        let builder = Worker::builder(WorkerConfig::from_settings(&settings)).register_job_types();
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
        anyhow::Ok(ended?)
    });
    // A blocking handler that never ends must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => service_runtime::report(error.as_ref()).into(),
    }
}
