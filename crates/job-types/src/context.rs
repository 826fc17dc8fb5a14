//! The context of a run, as the code that runs the job sees it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use faktory_wire::DEFAULT_QUEUE;
use tokio_util::sync::CancellationToken;

/// The context of a run: what the code that runs a job may know beside the job. A worker makes it;
/// a test makes its own with the methods that begin with `with`.
#[derive(Debug, Clone)]
pub struct JobContext {
    job_id: Arc<str>,
    queue: Cow<'static, str>,
    attempt: u32,
    remaining_retries: u32,
    deadline: Instant,
    cancellation: CancellationToken,
}

impl JobContext {
    /// The context of the first and last run of a job of the queue `default`, which has to end by
    /// `deadline` and learns from `cancellation` that it is to end earlier.
    #[must_use]
    pub const fn new(job_id: Arc<str>, deadline: Instant, cancellation: CancellationToken) -> Self {
        let queue = Cow::Borrowed(DEFAULT_QUEUE);
        Self { job_id, queue, attempt: 1, remaining_retries: 0, deadline, cancellation }
    }

    /// The same for a job with this id.
    #[must_use]
    pub fn with_job_id(self, job_id: impl Into<Arc<str>>) -> Self {
        Self { job_id: job_id.into(), ..self }
    }

    /// The same for a job of this queue.
    #[must_use]
    pub fn with_queue(self, queue: &str) -> Self {
        if self.queue == queue {
            return self;
        }
        Self { queue: Cow::Owned(queue.to_owned()), ..self }
    }

    /// The same for this attempt; 1 is the first.
    #[must_use]
    pub fn with_attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// The same for a job that is tried again so often after this run.
    #[must_use]
    pub fn with_remaining_retries(self, remaining_retries: u32) -> Self {
        Self { remaining_retries, ..self }
    }

    /// The same for a run that has to end by then.
    #[must_use]
    pub fn with_deadline(self, deadline: Instant) -> Self {
        Self { deadline, ..self }
    }

    /// The same for a run that is asked to end when this token is cancelled.
    #[must_use]
    pub fn with_cancellation(self, cancellation: CancellationToken) -> Self {
        Self { cancellation, ..self }
    }

    /// The job's id.
    #[must_use]
    pub fn job_id(&self) -> &str {
        &self.job_id
    }

    /// The queue from which the job came.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The number of this attempt; 1 for the first. Runs after which the job was snoozed are not
    /// counted.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How often the job is tried again where this run fails: 0 in the last one, after which the
    /// job is dead.
    #[must_use]
    pub const fn remaining_retries(&self) -> u32 {
        self.remaining_retries
    }

    /// When the job is failed if it has not ended: at its time limit, or a little before the end of
    /// its reservation, when the work server gives it to another worker.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// True once the worker is to end, or the job's time is over. A run may then stop early, or go
    /// on until its future is dropped; a blocking function is never stopped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Resolves when [`JobContext::is_cancelled`] becomes true. Cancel safe.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// The cancellation as a token, for functions that take a token.
    #[must_use]
    pub const fn token(&self) -> &CancellationToken {
        &self.cancellation
    }
}
