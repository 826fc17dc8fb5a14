//! The API as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use api_service::{Api, ApiConfig, ApiError};
use clap::Parser;
use service_runtime::documents::variables_help;
use service_runtime::{Role, TaskEnded, Termination};

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

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

#[tokio::main]
async fn main() -> ExitCode {
    allocator::return_large_blocks();
    let arguments = Arguments::parse();
    if arguments.healthcheck {
        return service_runtime::healthcheck(Role::Api, arguments.env_file.as_deref()).into();
    }
    let settings = match service_runtime::start(Role::Api, arguments.env_file.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return service_runtime::report(&error).into(),
    };
    let result = async {
        let mut termination = Termination::listen()?;
        let started = Api::start(ApiConfig::from_settings(&settings)).await;
        let mut api = started.map_err(|error| match &error {
            ApiError::Bind { .. } => {
                anyhow::Error::new(error).context("BIND_ADDR says where the API listens")
            }
            ApiError::FileNotLoaded(_) | ApiError::Pool(_) => error.into(),
        })?;
        let ended: Result<(), TaskEnded> = tokio::select! {
            signal = termination.signal() => {
                tracing::info!(signal, "ending; a second signal ends at once");
                Ok(())
            }
            failure = api.failed() => Err(failure),
        };
        termination.unless_again(api.stop(settings.process.shutdown_timeout)).await?;
        anyhow::Ok(ended?)
    };
    match result.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => service_runtime::report(error.as_ref()).into(),
    }
}
