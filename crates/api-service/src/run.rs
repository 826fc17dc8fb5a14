//! The API as a process of its own: its command line, its signals and its exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use job_types::Registry;
use service_runtime::documents::variables_help;
use service_runtime::{Role, Settings, TaskEnded, Termination};

use crate::config::ApiConfig;
use crate::server::{Api, ApiError};

/// The HTTP API of Work Factory: takes jobs and puts them into the work server at FAKTORY_URL.
#[derive(Parser)]
#[command(
    version,
    after_help = "Configured by environment variables: --help lists them.",
    after_long_help = variables_help(Role::Api)
)]
struct Arguments {
    /// Read variables from this file; those set in the environment win
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
    /// Ask the process with the same environment whether it lives; exit code 0: it does
    #[arg(long)]
    healthcheck: bool,
}

/// Runs the API with these typed jobs until a signal ends it: the whole `main` of a binary. Command
/// line, variables, logs, signals and exit codes are those of Work Factory's own API.
///
/// The registry is made by a function, because the allocator has to be set up before anything is
/// allocated.
///
/// ```no_run
/// use api_service::{Allocator, Registry, run};
/// use job_types::jobs::Add;
///
/// // Optional: with the system's allocator the API takes more processor time.
/// #[global_allocator]
/// static ALLOCATOR: Allocator = Allocator;
///
/// fn main() -> std::process::ExitCode {
///     run(|| Registry::new().with::<Add>())
/// }
/// ```
#[must_use]
pub fn run(jobs: impl FnOnce() -> Registry) -> ExitCode {
    allocator::return_large_blocks();
    let arguments = Arguments::parse();
    service_runtime::run(
        Role::Api,
        arguments.env_file.as_deref(),
        arguments.healthcheck,
        |settings| until_ended(settings, jobs()),
    )
}

async fn until_ended(settings: Settings, jobs: Registry) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    let started = Api::start(ApiConfig::from_settings(&settings).with_jobs(jobs)).await;
    let mut api = started.map_err(|error| match &error {
        ApiError::Bind { .. } => {
            anyhow::Error::new(error).context("BIND_ADDR says where the API listens")
        }
        ApiError::FileNotLoaded(_) | ApiError::Jobs(_) | ApiError::Pool(_) => error.into(),
    })?;
    let ended: Result<(), TaskEnded> = tokio::select! {
        signal = termination.signal() => {
            tracing::info!(signal, "ending; a second signal ends at once");
            Ok(())
        }
        failure = api.failed() => Err(failure),
    };
    termination.unless_again(api.stop(settings.process.shutdown_timeout)).await?;
    Ok(ended?)
}
