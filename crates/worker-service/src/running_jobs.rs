//! The jobs that places are busy with, so that the deadline of a shutdown can report what they have
//! not. Whoever takes a job out of here reports it: its place, or the deadline. Never both.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::outcome::Ending;

/// A job that was fetched: what is needed to report on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) jid: String,
    /// Until then the work server keeps it for us.
    pub(crate) reserved_until: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct RunningJobs {
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    last_number: u64,
    /// With how it ended, where it has and this is not told yet.
    jobs: HashMap<u64, (Fetched, Option<Ending>)>,
}

impl RunningJobs {
    fn jobs(&self) -> std::sync::MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a job, and returns its number.
    pub(crate) fn begin(&self, job: Fetched) -> u64 {
        let mut jobs = self.jobs();
        jobs.last_number += 1;
        let number = jobs.last_number;
        jobs.jobs.insert(number, (job, None));
        number
    }

    /// Notes how it ended; whoever takes it out tells.
    pub(crate) fn ended(&self, number: u64, ending: Ending) {
        if let Some((_, ended)) = self.jobs().jobs.get_mut(&number) {
            *ended = Some(ending);
        }
    }

    /// Takes a job out; `None` where somebody else has.
    pub(crate) fn take(&self, number: u64) -> Option<(Fetched, Option<Ending>)> {
        self.jobs().jobs.remove(&number)
    }

    /// Takes any out.
    pub(crate) fn take_any(&self) -> Option<(Fetched, Option<Ending>)> {
        let mut jobs = self.jobs();
        let number = *jobs.jobs.keys().next()?;
        jobs.jobs.remove(&number)
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs().jobs.len()
    }
}
