//! The heartbeats of a worker: one at a time, at an interval, and at once where the connection may
//! be dead.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, Lost, Pending};
use faktory_wire::{Beat, Command, Excerpt, Reply, ReportRefusal, WorkerState};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::flow::Flow;
use crate::lifecycle::Lifecycle;

/// Heartbeats are not more frequent than this.
const AT_LEAST: Duration = Duration::from_millis(100);

/// The heartbeats over one connection.
pub(super) struct Heartbeat {
    lifecycle: Arc<Lifecycle>,
    flow: Arc<Flow>,
    interval: Interval,
    states: watch::Receiver<WorkerState>,
    /// The answer to come, where a heartbeat is out.
    pending: Option<Pending>,
}

/// What has happened.
pub(super) enum BeatEvent {
    /// It is time for a heartbeat.
    Due,
    Answered(Result<Reply, Lost>),
}

impl Heartbeat {
    pub(super) fn new(every: Duration, lifecycle: &Arc<Lifecycle>, flow: &Arc<Flow>) -> Self {
        let every = every.max(AT_LEAST);
        let mut interval = interval_at(Instant::now() + every, every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut states = lifecycle.states();
        // A worker may have become quiet before this connection was there.
        states.mark_changed();
        Self {
            states,
            lifecycle: Arc::clone(lifecycle),
            flow: Arc::clone(flow),
            interval,
            pending: None,
        }
    }

    /// The answer to the heartbeat that is out, or the time for the next one. Cancel safe.
    pub(super) async fn next(&mut self) -> BeatEvent {
        if let Some(pending) = &mut self.pending {
            let answer = pending.await;
            self.pending = None;
            return BeatEvent::Answered(answer);
        }
        loop {
            tokio::select! {
                () = self.lifecycle.suspected() => self.interval.reset_immediately(),
                // The sender lives as long as the lifecycle.
                Ok(()) = self.states.changed() => {
                    if *self.states.borrow() == WorkerState::Quiet {
                        self.interval.reset_immediately();
                    }
                }
                _ = self.interval.tick() => return BeatEvent::Due,
            }
        }
    }

    /// Sends the heartbeat that is due, or does what the answer says.
    ///
    /// # Errors
    /// Where the connection has ended or is of no more use, with the reason.
    pub(super) async fn go_on(
        &mut self,
        event: BeatEvent,
        connection: &Connection,
        wid: &str,
    ) -> Result<(), String> {
        match event {
            BeatEvent::Due => {
                let beat = Command::Beat(Beat {
                    wid: wid.into(),
                    current_state: self.declared().map(Into::into),
                    ..Beat::default()
                });
                let sent = connection.submit(beat.to_line()).await;
                self.pending = Some(sent.map_err(|lost| lost.to_string())?);
                Ok(())
            }
            BeatEvent::Answered(Ok(reply)) => self.obey(&reply),
            BeatEvent::Answered(Err(lost)) => Err(lost.to_string()),
        }
    }

    /// The state that the worker declares: quiet, where it is. That it ends is not declared: the
    /// work server would keep each FETCH in flight waiting for 2 s, and END follows anyway.
    fn declared(&self) -> Option<&'static str> {
        match self.lifecycle.state() {
            WorkerState::Quiet => WorkerState::Quiet.word(),
            WorkerState::Running | WorkerState::Terminate => None,
        }
    }

    /// Does what the answer to a heartbeat says.
    fn obey(&self, reply: &Reply) -> Result<(), String> {
        match reply {
            Reply::Bulk(body) => {
                let state = WorkerState::from_answer_body(body);
                if state > WorkerState::Running {
                    self.flow.stop_fetching();
                }
                self.lifecycle.advance(state);
            }
            Reply::Error(text) => match ReportRefusal::of(text) {
                ReportRefusal::WorkerUnknown => {
                    self.lifecycle.renew_identity();
                    let why = "the work server has forgotten this worker; the worker comes back \
                               under a new id";
                    return Err(why.into());
                }
                ReportRefusal::JobUnknown | ReportRefusal::Unreadable | ReportRefusal::Other(_) => {
                    tracing::warn!(answer = %Excerpt(text), "heartbeat refused");
                }
            },
            Reply::Simple(_) | Reply::Nothing => {}
        }
        Ok(())
    }
}
