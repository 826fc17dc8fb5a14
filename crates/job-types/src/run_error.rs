//! How a job ends when it does not end well.

/// Why a run failed, and whether another run could go better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct RunError {
    for_good: bool,
    kind: String,
    message: String,
}

impl RunError {
    /// Another run may go better: the work server tries again.
    #[must_use]
    pub fn retryable(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { for_good: false, kind: kind.into(), message: message.into() }
    }

    /// No run will ever go better: the job goes to the dead set at once.
    #[must_use]
    pub fn for_good(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { for_good: true, kind: kind.into(), message: message.into() }
    }

    /// True where trying again is of no use.
    #[must_use]
    pub const fn is_for_good(&self) -> bool {
        self.for_good
    }

    /// The kind of error, in snake case.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What went wrong, for a person.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}
