//! The start of every binary: configuration, logs, and the exit code of a failure.

use std::io::Write;
use std::path::Path;

use crate::config_error::{ConfigError, Problem};
use crate::descriptors::{self, Connections, Needs};
use crate::environment::Environment;
use crate::logs::{self, plain_text};
use crate::role::Role;
use crate::settings::Settings;

/// The exit code for a configuration with faults (`EX_USAGE` of sysexits.h).
pub const CONFIG_EXIT_CODE: u8 = 64;

/// Loads the configuration, raises the limit of open files, starts the logs, and says what is in
/// effect.
///
/// # Errors
/// With every fault of the configuration, or where too few files may be open; no port has been
/// bound and nothing has been logged.
pub fn start(role: Role, env_file: Option<&Path>) -> Result<Settings, ConfigError> {
    let mut loaded = Settings::load(&Environment::of_process(env_file), role)?;
    loaded.settings.connections = connections(role, &loaded.settings)?;
    let process = &loaded.settings.process;
    logs::start(&process.log_filter, process.log_format);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("configuration in effect: {}", loaded.settings.describe(role));
    let (most, connections) = (Connections::default(), loaded.settings.connections);
    if connections != most {
        tracing::warn!(
            api = connections.api,
            broker = connections.broker,
            worker = connections.worker,
            "the limit of open files (LimitNOFILE, ulimit -n) allows fewer connections than {}, {} \
             and {}",
            most.api,
            most.broker,
            most.worker
        );
    }
    Ok(loaded.settings)
}

/// The connections for which there are descriptors, as many as the system allows.
fn connections(role: Role, settings: &Settings) -> Result<Connections, ConfigError> {
    let Some(limit) = descriptors::raise_limit() else { return Ok(Connections::default()) };
    let runs_broker = role.runs_broker(settings.link.url_is_set);
    let link = settings.link.max_connections;
    Needs { role, runs_broker, link }.divide(limit.files).map_err(|needed| {
        let of_link = match role {
            Role::Broker => String::new(),
            Role::All | Role::Api | Role::Worker => {
                format!(" with FAKTORY_MAX_CONNECTIONS={link}, which may be lowered")
            }
        };
        let detail = format!(
            "at most {} may be open, which leaves none for clients; at least {needed} are \
             needed{of_link}. {}",
            limit.files,
            limit.source()
        );
        ConfigError {
            problems: vec![Problem::new("limit of open files", &detail)],
            warnings: Vec::new(),
        }
    })
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
