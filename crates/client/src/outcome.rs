//! What became of a job that was posted.

use serde::Deserialize;

/// A problem document (RFC 9457) of the API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What happened, as a word that stays the same.
    pub code: String,
    /// For a person: what is wrong, and what is accepted.
    pub detail: String,
    /// Names the request in the API's log.
    pub request_id: String,
    /// Which members are at fault.
    pub errors: Vec<FieldFault>,
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct FieldFault {
    /// Where, as a JSON pointer such as `/jobs/3/queue`.
    pub pointer: String,
    /// What, as a word that stays the same.
    pub code: String,
    /// For a person.
    pub detail: String,
}

/// Why a job was not stored, or may not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The API or the work server refuses this job: it is not stored, and sending it again would
    /// not help.
    #[error("refused ({}): {}", .0.code, .0.detail)]
    Refused(Problem),
    /// Certainly not stored, after all retries: the service could not be reached, or takes nothing
    /// at present. Or, in a batch, another job of the same request is not valid.
    #[error("not stored: {0}")]
    NotStored(String),
    /// It may be stored or not. Never sent again by the client.
    #[error("outcome unknown: {detail}")]
    Unknown {
        /// The job's id, where it is known.
        job_id: Option<String>,
        /// What happened.
        detail: String,
    },
}

/// What became of one job of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// The work server has it.
    Stored {
        /// Its id.
        job_id: String,
    },
    /// It is not, or may not be.
    Failed(PostError),
}

impl JobOutcome {
    /// Whether the work server has it.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}
