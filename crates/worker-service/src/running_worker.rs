//! A worker at work: what is known of it, and its abrupt end. Its start is in
//! `running_worker/start.rs`, its end in order in `running_worker/stop.rs`.

mod start;
mod stop;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use faktory_link::ReplyBudget;
use faktory_wire::WorkerState;
use service_runtime::{TaskEnded, Tasks};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::buffer::Bytewise;
use crate::flow::Flow;
use crate::lifecycle::Lifecycle;
use crate::reporting::ReportQueues;
use crate::requeue::Requeue;

/// A worker at work. Dropped, it stops at once: see [`RunningWorker::stop`].
pub struct RunningWorker {
    lifecycle: Arc<Lifecycle>,
    flow: Arc<Flow>,
    queues: Arc<ReportQueues>,
    replies: Arc<ReplyBudget>,
    /// The way of unfinished jobs to other workers; there until the worker is stopped.
    requeue: Option<Requeue>,
    /// Jobs run at once.
    concurrency: usize,
    lanes: Tasks,
    slots: Tasks,
    acks: Tasks,
    /// The task that requeues what has waited for too long.
    stale: Tasks,
    /// The task that answers `/health`, where there is one.
    health: Tasks,
    /// The lanes' own runtime.
    runtime: Option<Runtime>,
    state: watch::Receiver<WorkerState>,
    connected: watch::Receiver<bool>,
}

impl RunningWorker {
    /// Resolves when the work server has told the worker to end; then call [`RunningWorker::stop`].
    /// Cancel safe.
    pub async fn told_to_terminate(&mut self) {
        if self.state.wait_for(|state| *state == WorkerState::Terminate).await.is_err() {
            std::future::pending().await
        }
    }

    /// Resolves when the worker is to be stopped: as [`RunningWorker::told_to_terminate`] does, or
    /// with the error where a task of the worker has ended that was to run on. The latter is a
    /// fault of this crate; the worker does only a part of its work then, so its process should
    /// end. Cancel safe.
    ///
    /// # Errors
    /// Where a task has ended.
    pub async fn must_stop(&mut self) -> Result<(), TaskEnded> {
        loop {
            let ended = tokio::select! {
                ended = self.lanes.failed() => ended,
                ended = self.slots.failed() => ended,
                ended = self.acks.failed() => ended,
                ended = self.stale.failed() => ended,
                ended = self.health.failed() => ended,
                Ok(_) = self.state.wait_for(|state| *state == WorkerState::Terminate) => {
                    tracing::info!("the work server told this worker to end");
                    return Ok(());
                }
            };
            // The fetch lanes of a worker that was told to end do so by themselves.
            if ended.is_panic() || !self.lifecycle.is_terminating() {
                ended.log();
                return Err(ended);
            }
        }
    }

    /// Fetches no more jobs: those that are here and those on their way are run, and the worker
    /// stays, without work, until it is stopped. The work server's page says that the worker is
    /// quiet. There is no way back.
    pub fn quiet(&self) {
        // Before the state is logged, as in `stop`.
        self.flow.stop_fetching();
        self.lifecycle.advance(WorkerState::Quiet);
    }

    /// Resolves when the worker has a connection to the work server. Cancel safe.
    pub async fn connected(&mut self) {
        if self.connected.wait_for(|connected| *connected).await.is_err() {
            std::future::pending().await
        }
    }

    /// Jobs being run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.flow.snapshot().running
    }

    /// Bytes of the jobs that are here.
    #[must_use]
    pub fn held_bytes(&self) -> HeldBytes {
        let Bytewise { waiting, running } = self.flow.bytes();
        HeldBytes { replies: self.replies.in_use(), waiting, running }
    }

    /// Jobs fetched and not finished: running, or waiting for a slot.
    #[must_use]
    pub fn held(&self) -> usize {
        let now = self.flow.snapshot();
        now.running + now.buffered
    }
}

/// Bytes of the jobs that a worker holds; `WORKER_MAX_BUFFER_BYTES` bounds `replies`, and also
/// `running`, but for a single job that is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBytes {
    /// Of jobs above 64 KiB that are read, or wait for a slot.
    pub replies: usize,
    /// Of all jobs that wait for a slot, as they came.
    pub waiting: usize,
    /// Of jobs that run: their JSON twice, and what their args unpack to.
    pub running: usize,
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        // The tasks end with their owners; those that need the runtime are told before it is gone.
        self.acks.abort_all();
        self.stale.abort_all();
        self.health.abort_all();
        if let Some(runtime) = self.runtime.take() {
            // The worker is often dropped by a task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}
