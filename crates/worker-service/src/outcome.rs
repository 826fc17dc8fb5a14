//! The outcome of a run, as its handler says it. What the work server is told of it is in
//! `reporting/ending.rs`.

use std::any::Any;
use std::error::Error;
use std::time::Duration;

use faktory_wire::FailReport;
use job_types::{RunError, Verdict};

/// Causes of an error that are reported; the work server keeps 50 lines.
const CAUSES_MAX: usize = 50;

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
    /// retry is burned. Faktory counts the run as processed all the same, and the broker does not.
    Snooze(Duration),
}

impl Outcome {
    /// The outcome of a run that ended with this error. A [`RunError`], as the error itself or
    /// anywhere among its sources, says whether the run failed for good; every other error is one
    /// after which the job is tried again. The causes are the backtrace.
    ///
    /// Handlers whose error type does not become a `Box<dyn Error + Send + Sync>` call this
    /// themselves.
    #[must_use]
    pub fn of_error(error: &(dyn Error + 'static)) -> Self {
        failed(error, RunError::verdict_in(error))
    }
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

/// What `Ok` holds is the outcome: `()`, an [`Outcome`], or a result again. An error fails the run
/// as [`Outcome::of_error`] says.
///
/// An `anyhow::Error` is looked into before its type is lost, so that a [`RunError`] that was added
/// by `context` is found too.
impl<T, E> IntoOutcome for Result<T, E>
where
    T: IntoOutcome,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    fn into_outcome(self) -> Outcome {
        let error = match self {
            Ok(value) => return value.into_outcome(),
            Err(error) => error,
        };
        if let Some(error) = (&error as &dyn Any).downcast_ref::<anyhow::Error>() {
            let verdict = error.downcast_ref::<RunError>().map(RunError::verdict);
            let error: &(dyn Error + 'static) = error.as_ref();
            return failed(error, verdict.or_else(|| RunError::verdict_in(error)));
        }
        let error: Box<dyn Error + Send + Sync> = error.into();
        Outcome::of_error(error.as_ref())
    }
}

/// The outcome of a run that ended with this error, of which this verdict is known.
fn failed(error: &(dyn Error + 'static), verdict: Option<&Verdict>) -> Outcome {
    let mut backtrace = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source.filter(|_| backtrace.len() < CAUSES_MAX) {
        if !cause.is::<Verdict>() {
            backtrace.push(format!("caused by: {cause}"));
        }
        source = cause.source();
    }
    let outermost = error.to_string();
    let Some(verdict) = verdict else {
        return Outcome::Failed(Failure { kind: "error".into(), message: outermost, backtrace });
    };
    // An error that passes another's text on says nothing of its own.
    let own = format!("{}: {}", verdict.kind(), verdict.message());
    let message = match outermost {
        outermost if outermost.contains(&own) => verdict.message().to_owned(),
        outermost => format!("{outermost}: {}", verdict.message()),
    };
    let failure = Failure { kind: verdict.kind().into(), message, backtrace };
    if verdict.is_for_good() { Outcome::FailedForGood(failure) } else { Outcome::Failed(failure) }
}

#[cfg(test)]
mod tests;
