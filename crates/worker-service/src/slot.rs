//! A slot of a worker: takes the next job, runs it within its time, and reports how it ended.

mod run;

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::time::Instant;

use self::run::run;
use crate::buffer::Buffered;
use crate::flow::Flow;
use crate::intake::{Fetched, Intake};
use crate::lifecycle::Lifecycle;
use crate::registry::Registry;
use crate::reporting::{Ending, Finished, Reports};
use crate::running_jobs::RunningJobs;

/// A job's time ends this long before its reservation, a twelfth of it at the most, so that its
/// FAIL arrives within the reservation.
const FAIL_AHEAD: Duration = Duration::from_secs(5);
/// The pause after a job without an id, of which nothing can be told: so that not too many such
/// jobs come at once.
const NONSENSE_PAUSE: Duration = Duration::from_millis(100);

/// A slot; a worker has as many as jobs may run at once.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) running: Arc<RunningJobs>,
    pub(crate) reports: Reports,
    /// Counts jobs that are requeued.
    pub(crate) requeued: Counter,
}

impl Slot {
    /// Runs one job after another until no more come.
    pub(crate) async fn run(self) {
        while let Some((buffered, cost)) = self.flow.begin_next().await {
            let took = self.take(buffered).await;
            self.flow.ended(cost, took);
        }
    }

    /// Runs a job and reports its end. Returns how long the run took, where a handler has run.
    async fn take(&self, buffered: Buffered) -> Option<Duration> {
        let Some((reservation, fetched)) = self.intake.read(&buffered) else {
            tokio::time::sleep(NONSENSE_PAUSE).await;
            return None;
        };
        let reserved_until = reservation.until;
        let number = self.running.begin(reservation);
        let begun = Instant::now();
        let (ending, ran) = match fetched {
            Fetched::Ended(ending) => (ending, false),
            Fetched::ToRun(job) => {
                let reserved = Duration::from_secs(job.effective_reserve_for().into());
                let limit = reserved_until - FAIL_AHEAD.min(reserved / 12);
                if limit <= begun || !self.has_time() {
                    // Where the reservation is over, the ack lane gives the requeue up.
                    self.requeued.increment(1);
                    (Ending::Requeued(job), false)
                } else {
                    let shutdown = self.lifecycle.shutdown();
                    run(&self.registry, shutdown, *job, &buffered.body, limit).await
                }
            }
        };
        let at = Instant::now();
        self.report(number, ending, at).await;
        ran.then_some(at - begun)
    }

    /// Reports the end of a job, unless the deadline of a shutdown has.
    async fn report(&self, number: u64, ending: Ending, at: Instant) {
        if let Some(permit) = self.reports.try_reserve() {
            if let Some((reservation, _)) = self.running.take(number) {
                permit.send(Finished { reservation, ending, at });
            }
            return;
        }
        self.running.ended(number, ending);
        let permit = self.reports.reserve().await;
        if let (Some(permit), Some((reservation, Some(ending)))) =
            (permit, self.running.take(number))
        {
            permit.send(Finished { reservation, ending, at });
        }
    }

    /// False where the worker is to end and jobs take longer than the time that is left.
    fn has_time(&self) -> bool {
        let Some(deadline) = self.lifecycle.deadline() else { return true };
        let takes = self.flow.prefetch().service().unwrap_or_default();
        Instant::now() + takes * 2 < deadline
    }
}
