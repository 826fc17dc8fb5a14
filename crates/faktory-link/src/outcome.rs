//! The outcome of pushing a job.

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::Job;

use crate::terms::{GROUP_BYTES, Terms};

/// A job as JSON on one line, ready for a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedJob {
    /// The job's id, by which the server's reply names the job.
    pub jid: String,
    /// The job's JSON, without a line break.
    pub json: Vec<u8>,
    /// What holds for the job beyond Faktory; jobs of one request share it.
    pub terms: Option<Arc<Terms>>,
}

impl EncodedJob {
    /// A job with this id and JSON, without terms.
    #[must_use]
    pub fn new(jid: impl Into<String>, json: impl Into<Vec<u8>>) -> Self {
        Self { jid: jid.into(), json: json.into(), terms: None }
    }

    /// The bytes that jobs have in a push, in this order, about: the memory that they need.
    #[must_use]
    pub fn bytes_of(jobs: &[Self]) -> usize {
        Self::sizes(jobs).sum()
    }

    /// The bytes of each job in a push, in their order: with those of its group, where it begins
    /// one. Jobs with terms may be tiny, and each of them a group of its own.
    pub(crate) fn sizes(jobs: &[Self]) -> impl Iterator<Item = usize> {
        let mut latest: Option<&Terms> = None;
        jobs.iter().map(move |job| {
            let terms = job.terms.as_deref();
            let begins_group = std::mem::replace(&mut latest, terms) != terms;
            let group = if begins_group { terms.map_or(GROUP_BYTES, Terms::bytes) } else { 0 };
            job.json.len() + 1 + group
        })
    }
}

impl From<Job> for EncodedJob {
    fn from(job: Job) -> Self {
        let mut json = Vec::with_capacity(job.encoded_bytes());
        job.encode(&mut json);
        Self::new(job.jid, json)
    }
}

/// The reason why a job was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotSent {
    /// No connection could be made.
    Unreachable,
    /// The server refuses connections or the password.
    Refused,
    /// The circuit is open, because the link has failed several times in a row.
    CircuitOpen {
        /// The time until the work server is tried again.
        again_in: Duration,
    },
    /// Too many jobs are waiting to be sent.
    Overloaded,
    /// The caller's deadline passed first.
    TimedOut,
    /// The link is being closed.
    ShuttingDown,
    /// The job has terms, and the work server does not remember ids, or not for so long.
    NotRemembered,
}

/// The outcome of pushing one job. "Unknown" is an outcome of its own: such a job may be stored or
/// not. The link has sent it again until its deadline where the work server remembers ids, and
/// otherwise does not send it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// The work server has stored the job.
    Stored,
    /// The work server refuses this job, with the server's reason; the job is not stored.
    Rejected(String),
    /// The work server refuses all jobs at present, with the server's reason; the job is not
    /// stored.
    ServerRefuses(String),
    /// The job was sent, and no reply says whether it is stored; with the details that are known.
    Unknown(String),
    /// The job was not sent, so it is not stored; with the details that are known.
    NotSent(NotSent, String),
}
