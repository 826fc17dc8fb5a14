//! What a handler may know of its run.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a handler may know of its run, beside the job.
#[derive(Debug, Clone)]
pub struct JobContext {
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: CancellationToken,
}

impl JobContext {
    /// Which attempt this is; 1 for the first. Runs that ended as
    /// [`Outcome::Snooze`](crate::Outcome::Snooze) are not counted.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the job is failed if it has not ended: its time limit, or a little before the work
    /// server gives it to somebody else.
    #[must_use]
    pub fn deadline(&self) -> std::time::Instant {
        self.deadline.into_std()
    }

    /// True once the worker is to end, or the job's time is over. A handler may then stop early, or
    /// go on until its future is dropped; one that blocks is not stopped by anybody.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Resolves when [`JobContext::is_cancelled`] becomes true. Cancel safe.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// The same as a token, for what takes one.
    #[must_use]
    pub const fn token(&self) -> &CancellationToken {
        &self.cancelled
    }
}
