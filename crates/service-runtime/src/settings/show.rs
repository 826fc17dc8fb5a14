//! How the value of a setting is shown in the log: as text for people, and never a secret.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use admission::Nets;

use crate::logs::LogFormat;
use crate::queue_order::QueueOrder;
use crate::queue_set::QueueSet;
use crate::quieting::QuietSignals;
use crate::secret::Secret;
use crate::work_server_url::WorkServerUrl;

/// A value of a setting, for the log.
pub(super) trait Show {
    fn show(&self) -> String;
}

macro_rules! show_displayed {
    ($($type:ty),+) => {$(
        impl Show for $type {
            fn show(&self) -> String {
                shown(self)
            }
        }
    )+};
}

fn shown(value: &impl Display) -> String {
    value.to_string()
}

// A secret and the URL of a work server hide what is secret when they are displayed.
show_displayed!(
    bool,
    u32,
    usize,
    String,
    SocketAddr,
    LogFormat,
    QueueOrder,
    QueueSet,
    QuietSignals,
    Secret,
    WorkServerUrl
);

impl Show for Duration {
    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Show for PathBuf {
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Show for Vec<String> {
    fn show(&self) -> String {
        if self.is_empty() { NONE.into() } else { self.join(",") }
    }
}

impl Show for Nets {
    fn show(&self) -> String {
        self.iter().map(shown).collect::<Vec<_>>().show()
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| NONE.into(), Show::show)
    }
}

const NONE: &str = "none";
