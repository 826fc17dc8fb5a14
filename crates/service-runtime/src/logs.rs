//! Logs: to standard error, as text for people or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json".into()),
        }
    }
}

pub(crate) fn check_filter(text: &str) -> Result<String, String> {
    // A word that is no level is taken for the name of a module, and everything else falls silent:
    // a typo, mostly.
    let names_a_level = text.split(',').any(|directive| {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level)
            .trim()
            .to_ascii_lowercase();
        ["off", "error", "warn", "info", "debug", "trace"].contains(&level.as_str())
    });
    match EnvFilter::builder().parse(text) {
        Ok(_) if names_a_level => Ok(text.to_owned()),
        _ => Err("a log filter with a level (error, warn, info, debug, trace, off), such as info \
                  or info,faktory_link=debug"
            .into()),
    }
}

/// Starts the logs. Started twice in a process, the first start counts.
pub(crate) fn start(filter: &str, format: LogFormat) {
    // The store under the broker tells of its housekeeping; only who asks for it by name gets it.
    let filter = EnvFilter::builder().parse_lossy(format!("fjall=warn,lsm_tree=warn,{filter}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
