//! The outcomes of posted jobs.

use serde::Deserialize;

use crate::keys::NOT_SUPPORTED;

/// A problem document (RFC 9457) of the API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened, as a word that stays the same from release to release.
    pub code: String,
    /// A text for people: what is wrong, and what is accepted.
    pub detail: String,
    /// The id of the request in the API's log.
    pub request_id: String,
    /// The faulty members.
    pub errors: Vec<FieldFault>,
}

impl Problem {
    /// Whether the API refuses what was posted, whoever posts it and whenever: no earlier attempt
    /// with the same body can have stored a job.
    pub(crate) fn is_of_the_body(&self) -> bool {
        matches!(self.status, 400 | 413 | 422) && self.code != NOT_SUPPORTED
    }
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct FieldFault {
    /// The faulty member, as a JSON pointer such as `/jobs/3/queue`.
    pub pointer: String,
    /// The kind of fault, as a word that stays the same from release to release.
    pub code: String,
    /// A text for people.
    pub detail: String,
}

/// Why a job was not stored, or may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The API or the work server refuses this job: the job is not stored, and sending it again
    /// would not help.
    #[error("refused ({}): {}", .0.code, .0.detail)]
    Refused(Problem),
    /// The job is certainly not stored, after all attempts: the API could not be reached or takes
    /// no jobs at present. Or, in a batch, another job of the same request is not valid.
    #[error("not stored: {0}")]
    NotStored(String),
    /// The job may be stored or not, after all attempts. Where the work server remembers ids, the
    /// client has sent it again under the same key; otherwise it never does.
    #[error("outcome unknown: {detail}")]
    Unknown {
        /// The job's id, where it is known.
        job_id: Option<String>,
        /// A text for people: what happened.
        detail: String,
    },
}

/// The outcome of one job of a batch or a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// The work server has stored the job.
    Stored {
        /// The job's id.
        job_id: String,
    },
    /// The job is not stored, or may not be.
    Failed(PostError),
}

impl JobOutcome {
    /// Whether the work server has stored the job.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}
