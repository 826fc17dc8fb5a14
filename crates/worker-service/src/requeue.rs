//! Requeueing: jobs that this worker has fetched and will not end go to other workers, because
//! their time in the buffer is too long, or at the deadline of a shutdown.

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::Excerpt;
use metrics::Counter;
use tokio::time::Instant;

use crate::flow::Flow;
use crate::intake::{Fetched, Intake};
use crate::outcome::Failure;
use crate::reporting::{Ending, Finished, Reports};
use crate::running_jobs::RunningJobs;

/// A job that has waited for a slot this long is requeued: jobs take longer than they did, and its
/// reservation runs. A quarter of the shortest reservation.
const STALE_AFTER: Duration = Duration::from_secs(15);
/// The time between two looks for such jobs, and the shorter one while jobs wait in their sockets
/// for the memory that these hold.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_SOON: Duration = Duration::from_millis(50);

/// The way of fetched jobs to other workers.
#[derive(Clone)]
pub(crate) struct Requeue {
    pub(crate) flow: Arc<Flow>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) running: Arc<RunningJobs>,
    pub(crate) reports: Reports,
    /// Counts jobs that are requeued.
    pub(crate) requeued: Counter,
}

impl Requeue {
    /// Reports all jobs that are here: running ones as failed, waiting ones as requeued. Cancel
    /// safe: what has not been reported is still here.
    pub(crate) async fn hand_over(&self) {
        while self.running.len() > 0 {
            let Some(permit) = self.reports.reserve().await else { return };
            let Some((reservation, ended)) = self.running.take_any() else { break };
            let ending = ended.unwrap_or_else(|| {
                tracing::warn!(
                    jid = %Excerpt(&reservation.jid),
                    "shutdown: the job did not finish in time and is failed"
                );
                let message = "the worker was shut down before the job had finished";
                Ending::Failed(Failure::new("shutdown", message))
            });
            permit.send(Finished { reservation, ending, at: Instant::now() });
        }
        self.requeue_waiting(|_| true).await;
    }

    /// Jobs that are running or waiting.
    pub(crate) fn held(&self) -> usize {
        self.running.len() + self.flow.waiting()
    }

    /// Requeues waiting jobs, from the first on, as long as `more` says so. Returns how many.
    /// Cancel safe, as [`Requeue::hand_over`] is.
    async fn requeue_waiting(&self, more: impl Fn(&Flow) -> bool) -> usize {
        let mut jobs = 0;
        while self.flow.waiting() > 0 && more(&self.flow) {
            let Some(permit) = self.reports.reserve().await else { break };
            let Some(buffered) = self.flow.take_waiting() else { break };
            jobs += 1;
            let Some((reservation, fetched)) = self.intake.read(&buffered) else { continue };
            let ending = match fetched {
                Fetched::ToRun(job) => {
                    self.requeued.increment(1);
                    Ending::Requeued(job)
                }
                Fetched::Ended(ending) => ending,
            };
            permit.send(Finished { reservation, ending, at: Instant::now() });
        }
        jobs
    }

    /// Requeues, for ever, jobs that wait here while others wait in their sockets for the memory
    /// that these hold: for the time in which a shutdown takes in what is in flight. Cancel safe.
    pub(crate) async fn make_room(&self) {
        loop {
            tokio::time::sleep(LOOK_SOON).await;
            self.requeue_waiting(Flow::awaits_memory).await;
        }
    }

    /// Requeues, for ever, the jobs that have waited too long for a slot.
    pub(crate) async fn requeue_stale(self) {
        loop {
            let wait = if self.flow.awaits_memory() { LOOK_SOON } else { LOOK_EVERY };
            tokio::time::sleep(wait).await;
            let Some(before) = Instant::now().checked_sub(STALE_AFTER) else { continue };
            if !self.flow.has_waited_since(before) {
                continue;
            }
            // Nothing more is fetched ahead until jobs end sooner than that.
            self.flow.prefetch().takes_at_least(STALE_AFTER);
            let jobs = self.requeue_waiting(|flow| flow.has_waited_since(before)).await;
            tracing::warn!(jobs, "jobs waited too long for a slot and are requeued");
            self.flow.refill();
        }
    }
}
