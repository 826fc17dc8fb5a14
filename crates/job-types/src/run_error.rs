//! The error of a run that failed.

/// The error of a run that failed, with whether another run may succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct RunError {
    for_good: bool,
    kind: String,
    message: String,
}

impl RunError {
    /// An error after which another run may succeed: the work server tries the job again.
    #[must_use]
    pub fn retryable(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { for_good: false, kind: kind.into(), message: message.into() }
    }

    /// An error after which no run will succeed: the job goes to the dead set at once.
    #[must_use]
    pub fn for_good(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { for_good: true, kind: kind.into(), message: message.into() }
    }

    /// True where no other run will succeed.
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
