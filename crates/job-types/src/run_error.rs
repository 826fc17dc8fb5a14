//! The error of a run that failed.

use std::error::Error;
use std::fmt;

/// The error of a run that failed, with whether another run may succeed.
///
/// Its source is its [`Verdict`]. So the error is found ([`RunError::verdict_in`]) inside every
/// other error that passes on its sources, also where the type of that error is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError(Verdict);

/// What a [`RunError`] says. As an error, it is the last in the chain of sources of every error
/// that was made of a [`RunError`], and reads `no retry can succeed`, or `a retry may succeed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    for_good: bool,
    kind: String,
    message: String,
}

/// Sources of one error that are looked at; a longer chain is most likely a circle.
const SOURCES_MAX: usize = 100;

impl RunError {
    /// An error after which another run may succeed: the work server tries the job again.
    #[must_use]
    pub fn retryable(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Verdict { for_good: false, kind: kind.into(), message: message.into() })
    }

    /// An error after which no run will succeed: the job goes to the dead set at once.
    #[must_use]
    pub fn for_good(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Verdict { for_good: true, kind: kind.into(), message: message.into() })
    }

    /// True where no other run will succeed.
    #[must_use]
    pub const fn is_for_good(&self) -> bool {
        self.0.for_good
    }

    /// The kind of error, in snake case.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// What went wrong, for a person.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the error says, apart from the error.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.0
    }

    /// The verdict of the first `RunError` among this error and its sources; `None` where there is
    /// none. At most 100 sources are looked at.
    #[must_use]
    pub fn verdict_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Verdict> {
        std::iter::successors(Some(error), |error| source_of(*error)).take(SOURCES_MAX).find_map(
            |error| {
                let whole = error.downcast_ref::<Self>().map(Self::verdict);
                whole.or_else(|| error.downcast_ref::<Verdict>())
            },
        )
    }
}

/// The error below this one. An [`std::io::Error`] gives the source of what it holds for its own
/// source, and so hides the error that it holds.
fn source_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    held.map(|held| held as &(dyn Error + 'static)).or_else(|| error.source())
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl Verdict {
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

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.for_good { "no retry can succeed" } else { "a retry may succeed" })
    }
}

impl Error for Verdict {}
