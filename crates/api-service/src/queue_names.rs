//! The distinct queue names that callers have used: bounded, because every name costs the work server for ever.

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

    /// Takes the names of all these jobs in, or none; the index of the first job whose name is one too many.
    pub(crate) fn admit(&self, jobs: &[NewJob]) -> Result<(), usize> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh: HashSet<&str> = HashSet::new();
        for (index, job) in jobs.iter().enumerate() {
            let name = job.queue.as_str();
            if !seen.contains(name) && fresh.insert(name) && seen.len() + fresh.len() > self.max {
                return Err(index);
            }
        }
        seen.extend(fresh.into_iter().map(ToOwned::to_owned));
        Ok(())
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }
}
