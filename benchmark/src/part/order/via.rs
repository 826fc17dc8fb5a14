//! The ways that are compared: ours, and the baseline.

use serde::{Deserialize, Serialize};

/// The way by which jobs get to the work server, or from there to their handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Via {
    /// Over HTTP, through the API.
    Http,
    /// Over our link, without HTTP.
    Link,
    /// Our worker.
    Worker,
    /// The faktory crate, used as its documentation shows: the baseline.
    Crate,
    /// Prepared bytes over bare sockets.
    Raw,
}

impl Via {
    pub(crate) const ALL: [Self; 5] =
        [Self::Http, Self::Link, Self::Worker, Self::Crate, Self::Raw];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Link => "link",
            Self::Worker => "worker",
            Self::Crate => "crate",
            Self::Raw => "raw",
        }
    }

    /// The way with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|via| via.name() == name)
    }

    pub(crate) const fn is_baseline(self) -> bool {
        matches!(self, Self::Crate)
    }
}
