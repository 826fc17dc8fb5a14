//! The end of a fetched job, as it is to be reported.

use std::time::Duration;

use faktory_wire::Job;
use tokio::time::Instant;

use crate::outcome::Failure;

/// A job's reservation: what is needed to report on a job that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) jid: String,
    /// Until then the work server keeps the job for this worker.
    pub(crate) until: Instant,
}

/// The end of a fetched job, by what the work server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Failed(Failure),
    FailedForGood(Failure),
    /// The job is pushed again as it was, with its failure record, due after the duration; and then
    /// acknowledged.
    Snooze(Box<Job>, Duration),
}

impl Ending {
    /// The end of a job that was not begun: other workers get the job as soon as possible.
    pub(crate) const fn requeued(job: Box<Job>) -> Self {
        Self::Snooze(job, Duration::ZERO)
    }
}

/// A job that has ended and is to be reported.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) reservation: Reservation,
    pub(crate) ending: Ending,
    /// When the job ended.
    pub(crate) at: Instant,
}
