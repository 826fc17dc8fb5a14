//! The context of a run, as its handler sees it.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The context of a run: what a handler may know beside the job.
#[derive(Debug, Clone)]
pub struct JobContext {
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: CancellationToken,
}

impl JobContext {
    /// The number of this attempt; 1 for the first. Runs that ended as
    /// [`Outcome::Snooze`](crate::Outcome::Snooze) are not counted.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the job is failed if it has not ended: at its time limit, or a little before the work
    /// server gives the job to another worker.
    #[must_use]
    pub fn deadline(&self) -> std::time::Instant {
        self.deadline.into_std()
    }

    /// True once the worker is to end, or the job's time is over. A handler may then stop early, or
    /// go on until its future is dropped; a blocking handler is never stopped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Resolves when [`JobContext::is_cancelled`] becomes true. Cancel safe.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// The cancellation as a token, for functions that take a token.
    #[must_use]
    pub const fn token(&self) -> &CancellationToken {
        &self.cancelled
    }
}
