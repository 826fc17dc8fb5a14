//! The outcome of a run, as its handler says it. What the work server is told of it is in
//! `reporting/ending.rs`.

use std::error::Error;
use std::time::Duration;

use faktory_wire::FailReport;
use job_types::RunError;

/// The outcome of one run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The job is done.
    Done,
    /// The run failed; the work server tries again, as often as the job says.
    Failed(Failure),
    /// The run failed and so would every other: the job goes to the dead set at once.
    FailedForGood(Failure),
    /// It is too early for the job: the job is run again after this time, 3 s at the least, and no
    /// retry is burned. The work server counts the run as processed all the same.
    Snooze(Duration),
}

/// The reason why a run failed, as the work server keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// The kind of failure; the work server keeps 100 bytes.
    pub kind: String,
    /// What went wrong; the work server keeps 1,000 bytes.
    pub message: String,
    /// Lines that say where; the work server keeps 50.
    pub backtrace: Vec<String>,
}

impl Failure {
    /// A failure without a backtrace.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), backtrace: Vec::new() }
    }

    pub(crate) fn report(self, jid: &str) -> FailReport {
        FailReport {
            jid: jid.into(),
            errtype: self.kind,
            message: self.message,
            backtrace: self.backtrace,
        }
        .within_limits()
    }
}

/// A value that a handler may return.
pub trait IntoOutcome {
    /// The value as an outcome.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Done
    }
}

/// An error fails the run, with its causes as backtrace; a [`RunError`] says itself whether the run
/// fails for good.
impl<T, E: Into<Box<dyn Error + Send + Sync>>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        let error: Box<dyn Error + Send + Sync> = match self {
            Ok(_) => return Outcome::Done,
            Err(error) => error.into(),
        };
        if let Some(error) = error.downcast_ref::<RunError>() {
            let failure = Failure::new(error.kind(), error.message());
            return if error.is_for_good() {
                Outcome::FailedForGood(failure)
            } else {
                Outcome::Failed(failure)
            };
        }
        let mut backtrace = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            backtrace.push(format!("caused by: {cause}"));
            source = cause.source();
        }
        Outcome::Failed(Failure { kind: "error".into(), message: error.to_string(), backtrace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_they_are_for_good() {
        let retryable: Result<(), _> = Err(RunError::retryable("busy", "later"));
        let for_good: Result<(), _> = Err(RunError::for_good("bad", "never"));
        assert_eq!(retryable.into_outcome(), Outcome::Failed(Failure::new("busy", "later")));
        assert_eq!(for_good.into_outcome(), Outcome::FailedForGood(Failure::new("bad", "never")));
        let other: Result<(), _> = Err(std::io::Error::other("disk"));
        assert_eq!(other.into_outcome(), Outcome::Failed(Failure::new("error", "disk")));
    }
}
