//! The end of a fetched job, as it is to be reported.

use std::time::Duration;

use faktory_wire::Job;
use tokio::time::Instant;

use crate::outcome::Failure;

/// A job's reservation: what is needed to report on a job that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) jid: String,
    /// The number by which the work server knows it, where the work server has told it.
    pub(crate) number: Option<u64>,
    /// Until then the work server keeps the job for this worker.
    pub(crate) until: Instant,
}

/// The end of a fetched job, by what the work server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Failed(Failure),
    FailedForGood(Failure),
    /// The job goes back as it was, with its failure record, due after the duration.
    Snooze(Box<Job>, Duration),
    /// The job was not begun and goes back as it was: other workers get it as soon as possible.
    Requeued(Box<Job>),
}

/// A job that has ended and is to be reported.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) reservation: Reservation,
    pub(crate) ending: Ending,
    /// When the job ended.
    pub(crate) at: Instant,
}
