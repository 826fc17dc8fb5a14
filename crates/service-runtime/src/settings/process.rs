//! The settings that every process has, whatever runs in it: its time to end, whom it trusts, and
//! its log.

use std::time::Duration;

use admission::Nets;

use super::declare::settings;
use super::parse::{duration, nets};
use crate::logs::{self, LogFormat};

settings! {
    /// The settings of every process.
    pub struct ProcessSettings {
        /// Time to finish what has begun; the longer, the more a worker may fetch ahead on each
        /// connection.
        shutdown_timeout: Duration = "SHUTDOWN_TIMEOUT" or "30s", duration;

        /// Networks and addresses of clients that API and broker trust, comma-separated, such as
        /// `10.0.0.0/8,192.0.2.7`: where places are short, a client that has not shown who it is
        /// loses its own to one of these. This machine is trusted always.
        trusted_nets: Nets = "TRUSTED_NETS" or "", nets;

        /// What is logged, for example `info,faktory_link=debug`.
        log_filter: String = "RUST_LOG" or "info", logs::check_filter;

        /// How logs are written: `text` or `json`.
        log_format: LogFormat = "LOG_FORMAT" or "text", str::parse;
    }
}
