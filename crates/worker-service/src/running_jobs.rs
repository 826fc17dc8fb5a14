//! The jobs that slots are busy with, so that the deadline of a shutdown can report those that the
//! slots have not. The part that takes a job out of here reports the job: its slot, or the
//! deadline. Never both.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::reporting::{Ending, Reservation};

/// The jobs that have a slot and are not reported.
#[derive(Debug, Default)]
pub(crate) struct RunningJobs {
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    last_number: u64,
    /// By number; with the ending, where the job has ended and is not reported yet.
    jobs: HashMap<u64, (Reservation, Option<Ending>)>,
}

impl RunningJobs {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a job that gets a slot, and returns its number.
    pub(crate) fn begin(&self, job: Reservation) -> u64 {
        let mut jobs = self.jobs();
        jobs.last_number += 1;
        let number = jobs.last_number;
        jobs.jobs.insert(number, (job, None));
        number
    }

    /// Notes how a job ended; the part that takes the job out reports this.
    pub(crate) fn ended(&self, number: u64, ending: Ending) {
        if let Some((_, ended)) = self.jobs().jobs.get_mut(&number) {
            *ended = Some(ending);
        }
    }

    /// Takes a job out; `None` where another part has.
    pub(crate) fn take(&self, number: u64) -> Option<(Reservation, Option<Ending>)> {
        self.jobs().jobs.remove(&number)
    }

    /// Takes any job out.
    pub(crate) fn take_any(&self) -> Option<(Reservation, Option<Ending>)> {
        let mut jobs = self.jobs();
        let number = *jobs.jobs.keys().next()?;
        jobs.jobs.remove(&number)
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs().jobs.len()
    }
}
