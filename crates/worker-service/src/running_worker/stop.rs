//! The end of a worker in order.

use std::time::Duration;

use deadline::timeout_at;
use faktory_wire::WorkerState;
use tokio::time::Instant;

use super::RunningWorker;

/// The longest that a worker may be given to end.
const STOP_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The times of a shutdown.
struct Times {
    begun: Instant,
    /// When running jobs are failed and waiting jobs are requeued.
    deadline: Instant,
    /// When the worker ends, whatever is left to do.
    end: Instant,
    /// The time between the two.
    margin: Duration,
}

impl RunningWorker {
    /// Ends in order, within `timeout`: no new fetches, and handlers learn that the worker is to
    /// end; what is in flight is taken in; running jobs may finish, and waiting jobs are run where
    /// there is time; at the deadline, a little before the end, a job that has not begun is
    /// requeued, and one that has is failed, so that another worker gets it; acks are flushed; END.
    pub async fn stop(mut self, timeout: Duration) {
        let Some(requeue) = self.requeue.take() else { return };
        let mut times = Times::from_now(timeout.min(STOP_MAX));
        self.lifecycle.set_deadline(times.deadline);
        // Before the state is logged: a log may be slow, and no FETCH is to go out meanwhile.
        self.flow.stop_fetching();
        self.lifecycle.advance(WorkerState::Terminate);
        self.lifecycle.shutdown().cancel();
        self.log_phase("taking in what is in flight", &times);
        tokio::select! {
            _ = timeout_at(times.deadline, self.lanes.all_ended()) => {}
            // Large jobs that lie in sockets would stay there, and stay reserved.
            () = requeue.make_room() => {}
        }
        self.last_look().await;
        self.log_phase("finishing what runs", &times);
        self.flow.close(self.concurrency);
        if timeout_at(times.deadline, self.slots.all_ended()).await.is_err() {
            self.log_phase("requeueing what has not begun, failing what has not finished", &times);
            self.slots.abort_all();
            // A slot whose handler blocks does not end.
            let soon = times.deadline + times.margin / 4;
            let _ = timeout_at(soon, self.slots.all_ended()).await;
        }
        self.lanes.abort_all();
        self.lanes.all_ended().await;
        times.leave_the_margin(Instant::now());
        self.stale.abort_all();
        self.stale.all_ended().await;
        if timeout_at(times.end, requeue.hand_over()).await.is_err() {
            tracing::warn!(
                jobs = requeue.held(),
                "shutdown: some jobs could not be reported; they run again when their \
                 reservations end"
            );
        }
        self.warn_of_lost_fetches();
        self.log_phase("flushing acks", &times);
        // With the last way in for reports gone, the ack lanes end when they have told all.
        drop(requeue);
        self.flush_acks(&times).await;
        self.health.abort_all();
        tracing::info!(took = ?times.begun.elapsed(), "the worker has ended");
    }

    /// Lets the lanes take in what lies in their sockets, if they have not ended: this process may
    /// have been stopped until the deadline. The lanes have a runtime of their own.
    async fn last_look(&self) {
        if !self.lanes.is_empty()
            && let Some(runtime) = &self.runtime
        {
            let _ = runtime.spawn(deadline::turns()).await;
        }
    }

    fn log_phase(&self, phase: &'static str, times: &Times) {
        let now = self.flow.snapshot();
        tracing::info!(
            phase, running = now.running, waiting = now.buffered, fetches = now.fetches,
            unacknowledged = self.queues.unsettled(), after = ?times.begun.elapsed(),
            "shutdown"
        );
    }

    fn warn_of_lost_fetches(&self) {
        let fetches = self.flow.snapshot().fetches;
        if fetches > 0 {
            tracing::warn!(
                fetches,
                "shutdown: some fetches were not answered in time; the jobs that they bring come \
                 when their reservations end"
            );
        }
    }

    async fn flush_acks(&mut self, times: &Times) {
        if timeout_at(times.end, self.acks.all_ended()).await.is_ok() {
            return;
        }
        let reports = self.queues.unsettled();
        if reports > 0 {
            tracing::warn!(
                reports,
                "shutdown: the last reports could not be delivered; their jobs run again when \
                 their reservations end"
            );
        }
        self.acks.abort_all();
    }
}

impl Times {
    fn from_now(timeout: Duration) -> Self {
        let begun = Instant::now();
        let margin = margin(timeout);
        Self {
            begun,
            deadline: begun + timeout.saturating_sub(margin),
            end: begun + timeout,
            margin,
        }
    }

    /// Moves the end on, where this process was stopped and finds less time left than the last
    /// reports are to have.
    fn leave_the_margin(&mut self, now: Instant) {
        self.end = self.end.max(now + self.margin / 2);
    }
}

/// The part of the time to end that is kept for the last reports: a tenth, 2 s at the most.
pub(super) fn margin(timeout: Duration) -> Duration {
    (timeout / 10).min(Duration::from_secs(2))
}
