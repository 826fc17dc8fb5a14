//! The jobs that are being run, so that what is unfinished at the deadline can be failed. Whoever takes a run out of
//! here reports it: its own end, or the deadline. Never both.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A job that was fetched: what is needed to report on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) jid: String,
    /// Until then the work server keeps it for us.
    pub(crate) reserved_until: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct RunningJobs {
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    last_number: u64,
    jobs: HashMap<u64, Fetched>,
}

impl RunningJobs {
    fn runs(&self) -> std::sync::MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a run, and returns its number.
    pub(crate) fn begin(&self, job: Fetched) -> u64 {
        let mut runs = self.runs();
        runs.last_number += 1;
        let number = runs.last_number;
        runs.jobs.insert(number, job);
        number
    }

    /// Takes a run out; `None` where somebody else has reported it.
    pub(crate) fn take(&self, number: u64) -> Option<Fetched> {
        self.runs().jobs.remove(&number)
    }

    /// Takes all out.
    pub(crate) fn take_all(&self) -> Vec<Fetched> {
        self.runs().jobs.drain().map(|(_, job)| job).collect()
    }
}
