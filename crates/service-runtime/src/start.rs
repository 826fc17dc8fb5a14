//! The start of every binary: configuration, logs, and the exit code of a failure.

use std::io::Write;
use std::path::Path;

use crate::config_error::ConfigError;
use crate::environment::Environment;
use crate::logs::{self, plain_text};
use crate::role::Role;
use crate::settings::Settings;

/// The exit code for a configuration with faults (`EX_USAGE` of sysexits.h).
pub const CONFIG_EXIT_CODE: u8 = 64;

/// Loads the configuration, starts the logs, and says what is in effect.
///
/// # Errors
/// With every fault of the configuration; no port has been bound and nothing has been logged.
pub fn start(role: Role, env_file: Option<&Path>) -> Result<Settings, ConfigError> {
    let loaded = Settings::load(&Environment::of_process(env_file), role)?;
    let process = &loaded.settings.process;
    logs::start(&process.log_filter, process.log_format);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("configuration in effect: {}", loaded.settings.describe(role));
    Ok(loaded.settings)
}

/// Prints a failure for the person who started the process, and returns the exit code: 64 for a
/// faulty configuration, else 1.
#[must_use]
pub fn report(error: &(dyn std::error::Error + 'static)) -> u8 {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors show their cause already.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    // The person who started the process reads it, whatever the logs are set to; where the terminal
    // was closed, nobody does.
    let text = plain_text(&text, error.is::<ConfigError>());
    let _ = writeln!(std::io::stderr(), "error: {text}");
    if error.is::<ConfigError>() { CONFIG_EXIT_CODE } else { 1 }
}
