//! The settings that every process has, whatever runs in it: its time to end, and its log.

use std::time::Duration;

use super::declare::settings;
use super::parse::duration;
use crate::logs::{self, LogFormat};

settings! {
    /// The settings of every process.
    pub struct ProcessSettings {
        /// Time to finish what has begun; the longer, the more a worker may fetch ahead on each
        /// connection.
        shutdown_timeout: Duration = "SHUTDOWN_TIMEOUT" or "30s", duration;

        /// What is logged, for example `info,faktory_link=debug`.
        log_filter: String = "RUST_LOG" or "info", logs::check_filter;

        /// How logs are written: `text` or `json`.
        log_format: LogFormat = "LOG_FORMAT" or "text", str::parse;
    }
}
