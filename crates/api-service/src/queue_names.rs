//! The distinct queue names that clients have used: bounded, because each name occupies the work
//! server for ever.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use job_types::{FieldError, NewJob};

use crate::problem::Problem;

/// The names used so far.
#[derive(Debug)]
pub(crate) struct QueueNames {
    seen: Mutex<HashSet<String>>,
    max: usize,
}

impl QueueNames {
    pub(crate) fn new(max: usize) -> Self {
        Self { seen: Mutex::default(), max }
    }

    /// Admits the queue of the only job of a request.
    pub(crate) fn admit_one(&self, job: &NewJob) -> Result<(), Problem> {
        self.admit(std::slice::from_ref(job)).map_err(|_| self.problem(["/queue".into()]))
    }

    /// Admits the queues of all jobs of a batch, or none.
    pub(crate) fn admit_batch(&self, jobs: &[NewJob]) -> Result<(), Problem> {
        let pointer = |index: usize| format!("/jobs/{index}/queue");
        self.admit(jobs).map_err(|indices| self.problem(indices.into_iter().map(pointer)))
    }

    fn problem(&self, pointers: impl IntoIterator<Item = String>) -> Problem {
        let limit = self.max;
        let detail = format!(
            "the queue would be one more than the {limit} distinct ones that this service accepts \
             (API_MAX_QUEUES)"
        );
        let fault = |pointer| FieldError {
            pointer,
            code: job_types::Code::TooManyQueues,
            detail: detail.clone(),
        };
        Problem::of_faults(pointers.into_iter().map(fault).collect()).with("limit", limit)
    }

    /// Admits the queues of all jobs or none. An error holds the indices of the jobs whose queues
    /// are above the limit.
    fn admit(&self, jobs: &[NewJob]) -> Result<(), Vec<usize>> {
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
}
