//! The failures of the pool, and what a failure means for the jobs that waited for a connection.

use crate::error::{LinkError, Phase};
use crate::outcome::{JobOutcome, NotSent};

/// Why the pool gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum PoolFailure {
    /// No connection could be made, or none became free in time.
    #[error(transparent)]
    Connect(#[from] LinkError),
    /// The pool cannot be built or is closed.
    #[error("the pool gives no connections: {0}")]
    Pool(String),
}

impl PoolFailure {
    /// True where the server was reached and refuses the connection.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Connect(LinkError::Refused(_) | LinkError::PasswordNeeded | LinkError::WeakProof)
        )
    }

    /// True where all connections were busy for the whole wait.
    #[must_use]
    pub const fn is_exhaustion(&self) -> bool {
        matches!(self, Self::Connect(LinkError::Timeout { phase: Phase::Pool, .. }))
    }

    /// The outcome of jobs that waited for a connection.
    pub(crate) fn outcome(&self) -> JobOutcome {
        let reason = if self.is_refusal() {
            NotSent::Refused
        } else if self.is_exhaustion() {
            NotSent::Overloaded
        } else {
            NotSent::Unreachable
        };
        JobOutcome::NotSent(reason, self.to_string())
    }
}
