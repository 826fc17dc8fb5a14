//! Logs, which go to standard error: text for people, or JSON for machines.

mod plain_lines;

use std::any::Any;
use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use faktory_wire::Excerpt;
use tracing_subscriber::EnvFilter;

use plain_lines::PlainLines;
pub use plain_lines::plain_text;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// A JSON object on each line, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("text or json".into()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Checks a filter of logs, and returns it as it was written.
pub(crate) fn check_filter(text: &str) -> Result<String, String> {
    // A word that is no level is taken for the name of a module, and everything else falls silent.
    // Such a word is mostly a typo.
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

/// Starts the logs, into which panics go too. Started twice in a process, the first start counts.
pub(crate) fn start(filter: &str, format: LogFormat) {
    // The store under the broker logs its housekeeping; a filter that names the store shows it.
    let filter = EnvFilter::builder().parse_lossy(format!("fjall=warn,lsm_tree=warn,{filter}"));
    let colours = format == LogFormat::Text && std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(PlainLines { format, colours })
        // A terminal that was closed takes no more lines. To tell of that on the same terminal
        // panics, and would end the process in the middle of its ending in order.
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Logs a panic. The hook of the standard library would write the panic's text as it is, and a
/// text of a client may be part of it.
fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        thread = %Excerpt(thread.name().unwrap_or("unnamed")),
        at = %info.location().map_or_else(String::new, ToString::to_string),
        panic = %Excerpt(panic_text(info.payload())),
        "a thread panicked"
    );
    let backtrace = std::backtrace::Backtrace::capture();
    if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
        for line in backtrace.to_string().lines() {
            tracing::error!("{}", line.trim_end());
        }
    }
}

/// The text of a panic.
fn panic_text(cause: &(dyn Any + Send)) -> &str {
    let owned = cause.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no text")
}
