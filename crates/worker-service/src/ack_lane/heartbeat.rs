//! The heartbeats of a worker: one at a time, at an interval, and at once where the connection may
//! be dead.

use std::time::Duration;

use faktory_link::{Connection, Lost, Pending};
use faktory_wire::{Beat, Command, Reply};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::lifecycle::Lifecycle;

/// Heartbeats are not more frequent than this.
const AT_LEAST: Duration = Duration::from_millis(100);

/// The heartbeats over one connection.
pub(super) struct Heartbeat {
    interval: Interval,
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
    pub(super) fn new(every: Duration) -> Self {
        let every = every.max(AT_LEAST);
        let mut interval = interval_at(Instant::now() + every, every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, pending: None }
    }

    /// The answer to the heartbeat that is out, or the time for the next one. Cancel safe.
    pub(super) async fn next(&mut self, lifecycle: &Lifecycle) -> BeatEvent {
        if let Some(pending) = &mut self.pending {
            let answer = pending.await;
            self.pending = None;
            return BeatEvent::Answered(answer);
        }
        loop {
            tokio::select! {
                () = lifecycle.suspected() => self.interval.reset_immediately(),
                _ = self.interval.tick() => return BeatEvent::Due,
            }
        }
    }

    /// Sends a heartbeat.
    ///
    /// # Errors
    /// Where the connection has ended.
    pub(super) async fn send(&mut self, connection: &Connection, wid: &str) -> Result<(), Lost> {
        let beat = Command::Beat(Beat { wid: wid.into(), ..Beat::default() });
        self.pending = Some(connection.submit(beat.to_line()).await?);
        Ok(())
    }
}
