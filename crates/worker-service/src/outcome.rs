//! How a run ends.

use std::error::Error;
use std::time::Duration;

use faktory_wire::{Command, FailReport, Job, Timestamp};
use job_types::RunError;

/// What became of one run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed; the work server tries again, as often as the job says.
    Failed(Failure),
    /// It failed and will never go better: the job goes to the dead set at once.
    FailedForGood(Failure),
    /// It is not time for it yet: the job is run again after this, 3 s at the least, and no retry
    /// is burned. The server counts it as processed all the same.
    Later(Duration),
}

/// What the work server is told of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Failed(Failure),
    FailedForGood(Failure),
    /// The job is pushed again as it was, its failure record too, due so much later; and then
    /// acknowledged.
    Later(Box<Job>, Duration),
}

/// A job that is pushed again is not due before this: until then the ACK of the first has arrived,
/// so nobody has both.
pub(crate) const LATER_AT_LEAST: Duration = Duration::from_secs(3);
/// A century: later than that nothing can be said in RFC 3339.
const LATER_AT_MOST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The push of such a job.
pub(crate) fn push_later(job: &Job, after: Duration) -> Vec<u8> {
    let at = Timestamp::now().plus(after.clamp(LATER_AT_LEAST, LATER_AT_MOST));
    Command::PushBulk(vec![Job { at: Some(at.to_string()), enqueued_at: None, ..job.clone() }])
        .to_line()
}

/// Why a run failed, as the work server keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// The kind of failure; the server keeps 100 bytes.
    pub kind: String,
    /// What went wrong; the server keeps 1,000 bytes.
    pub message: String,
    /// Lines that say where; the server keeps 50.
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

/// What a handler may return.
pub trait IntoOutcome {
    /// As an outcome.
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

/// An error fails the run, its causes as backtrace; a [`RunError`] says itself whether for good.
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
