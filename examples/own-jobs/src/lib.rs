//! A job type of one's own: a reminder, which is sent to an address.

use std::time::Duration;

use job_types::{FieldError, JobContext, Registry, RunError, RunJob, define_job};
use serde::Serialize;

define_job! {
    /// Reminds somebody of something.
    pub struct Remind = "remind" { address: String, text: String }
}

/// The result of a run, for the worker's log.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The attempt that succeeded.
    pub attempt: u32,
    /// The length of what was sent, in bytes.
    pub bytes: usize,
}

impl RunJob for Remind {
    type Output = Receipt;

    fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut faults = Vec::new();
        if !self.address.contains('@') {
            faults.push(FieldError::invalid("address", "address must have an @"));
        }
        if self.text.is_empty() {
            faults.push(FieldError::invalid("text", "text must not be empty"));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    async fn run(self, context: JobContext) -> Result<Receipt, RunError> {
        tokio::select! {
            biased;
            // The worker is to end: another one runs the job again.
            () = context.cancelled() => Err(RunError::retryable("cancelled", "not sent")),
            sent = send(&self.address, &self.text) => {
                Ok(Receipt { attempt: context.attempt(), bytes: sent })
            }
        }
    }
}

/// Stands for a mail server, which takes its time. Its address is no text for the log.
async fn send(_address: &str, text: &str) -> usize {
    tokio::time::sleep(Duration::from_millis(10)).await;
    text.len()
}

/// The job types of this crate, for its API and its worker. Those of Work Factory would be there
/// too with `job_types::jobs::registry()` instead of `Registry::new()`.
#[must_use]
pub fn jobs() -> Registry {
    Registry::new().with::<Remind>()
}

#[cfg(test)]
mod tests {
    use worker_service::testing;

    use super::*;

    fn remind(address: &str, text: &str) -> Remind {
        Remind { address: address.into(), text: text.into() }
    }

    #[tokio::test]
    async fn a_reminder_is_sent() {
        let context = testing::context().with_attempt(2);
        let sent = testing::run_in(context, remind("ann@example.org", "tea")).await;
        assert_eq!(sent, Ok(Receipt { attempt: 2, bytes: 3 }));
    }

    #[tokio::test]
    async fn a_reminder_to_nobody_fails_for_good() {
        let error = testing::run(remind("ann", "")).await.unwrap_err();
        assert!(error.is_for_good());
        assert_eq!(error.message(), "address must have an @; text must not be empty");
    }

    #[tokio::test]
    async fn a_reminder_that_is_cancelled_is_sent_another_time() {
        let context = testing::context();
        context.token().cancel();
        let error = testing::run_in(context, remind("ann@example.org", "tea")).await.unwrap_err();
        assert!(!error.is_for_good());
    }
}
