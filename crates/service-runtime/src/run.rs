//! A process from its configuration to its exit code.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::healthcheck::healthcheck;
use crate::role::Role;
use crate::settings::Settings;
use crate::start::{report, start};

/// How long blocking work, such as a handler that never ends, may keep the process from ending.
const BLOCKING_END: Duration = Duration::from_secs(1);

/// Runs a process in this role: loads its configuration, makes what is to be run of it, and runs
/// that to its end on a runtime of its own. With `is_healthcheck` it only asks the process with the
/// same environment whether it lives. Every failure is told, and the exit code returned.
#[must_use]
pub fn run<F, E>(
    role: Role,
    env_file: Option<&Path>,
    is_healthcheck: bool,
    make: impl FnOnce(Settings) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: AsRef<dyn Error>,
{
    if is_healthcheck {
        return healthcheck(role, env_file).into();
    }
    let settings = match start(role, env_file) {
        Ok(settings) => settings,
        Err(error) => return report(&error).into(),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error).into(),
    };
    let result = runtime.block_on(make(settings));
    runtime.shutdown_timeout(BLOCKING_END);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(error.as_ref()).into(),
    }
}
