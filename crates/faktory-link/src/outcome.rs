//! What became of a job that was to be pushed.

use std::time::Duration;

use faktory_wire::Job;

/// A job as JSON on one line, ready to go into a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedJob {
    /// Its id, by which the answer names it.
    pub jid: String,
    /// Its JSON, without a line break.
    pub json: Vec<u8>,
}

impl From<Job> for EncodedJob {
    fn from(job: Job) -> Self {
        let mut json = Vec::with_capacity(160);
        job.encode(&mut json);
        Self { jid: job.jid, json }
    }
}

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotSent {
    /// No connection could be made.
    Unreachable,
    /// The server refuses connections or the password.
    Refused,
    /// The circuit is open: the link has failed several times in a row.
    CircuitOpen {
        /// When it is tried again.
        again_in: Duration,
    },
    /// Too much is waiting to be sent already.
    Overloaded,
    /// The caller's time ran out first.
    TimedOut,
    /// The link is being closed.
    ShuttingDown,
}

/// What became of one job. "Unknown" is an outcome of its own: the job may be stored or not, and it
/// is not sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// The work server has it.
    Stored,
    /// The work server refuses this job, with its reason; it is not stored.
    Rejected(String),
    /// The work server refuses all work at present, with its reason; it is not stored.
    ServerRefuses(String),
    /// Sent, and no answer that tells; with what is known.
    Unknown(String),
    /// Not sent, so certainly not stored; with what is known.
    NotSent(NotSent, String),
}
