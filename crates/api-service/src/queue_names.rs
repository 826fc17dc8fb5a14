//! The distinct queue names that callers have used: bounded, because every name costs the work
//! server for ever.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use job_types::NewJob;

#[derive(Debug)]
pub(crate) struct QueueNames {
    seen: Mutex<HashSet<String>>,
    max: usize,
}

impl QueueNames {
    pub(crate) fn new(max: usize) -> Self {
        Self { seen: Mutex::default(), max }
    }

    /// Takes the names of all these jobs in, or none; the indices of the jobs whose names are too
    /// many.
    pub(crate) fn admit(&self, jobs: &[NewJob]) -> Result<(), Vec<usize>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh: HashSet<&str> = HashSet::new();
        let mut too_many = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            let name = job.queue.as_str();
            if seen.contains(name) || fresh.contains(name) {
                continue;
            }
            if seen.len() + fresh.len() < self.max {
                fresh.insert(name);
            } else {
                too_many.push(index);
            }
        }
        if !too_many.is_empty() {
            return Err(too_many);
        }
        seen.extend(fresh.into_iter().map(ToOwned::to_owned));
        Ok(())
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }
}
