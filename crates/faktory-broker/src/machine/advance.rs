//! What happens without a command: waits end, jobs come due, and long work goes on. Silent workers
//! and reservations that are over are judged: something is taken from a client because it was not
//! heard of in time.

use std::time::Duration;

use faktory_wire::{Excerpt, Reply};

use super::fetch::NAMES_OF_A_STEP;
use super::keys::Location;
use super::{ConnectionId, Machine, Now};
use crate::store::{Store, StoreError};

/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The longest sleep while a job is scheduled or to be retried. The wall clock may be set, and such
/// a job must not stay due for long after that.
const SCHEDULED_SLEEP_MAX: Duration = Duration::from_secs(1);

impl Machine {
    /// Does a bounded part of what is due, and judges by what has been submitted so far; true where
    /// more is due at once.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn advance(&mut self, store: &mut dyn Store, now: Now) -> Result<bool, StoreError> {
        let more = self.work(store, now)?;
        Ok(self.judge(store, now, now.monotonic)? || more || self.is_at_work())
    }

    /// Does a bounded part of the work that is due, without a judgement; true where more is due at
    /// once.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn work(&mut self, store: &mut dyn Store, now: Now) -> Result<bool, StoreError> {
        self.remembered.advance(store, now.wall)?;
        self.work.begin();
        while !self.work.is_spent()
            && let Some(waiter) = self.waiting.next_expired(now.monotonic)
        {
            self.work.spend(1 + waiter.queues.len() / NAMES_OF_A_STEP, 0);
            self.answer_fetch(waiter.connection, Reply::Nothing, Vec::new());
            self.unblock(waiter.connection);
        }
        let mut more = self.advance_left_behind(store, now)?;
        more |= self.advance_sets(store, now)?;
        self.advance_task(store, now)?;
        more |= self.advance_trash(store)?;
        self.work.begin();
        self.serve(store, now)?;
        self.run(store, now)?;
        Ok(more || self.is_at_work())
    }

    /// True where [`Machine::judge`] would take something from a client now. The caller first
    /// submits all that clients have sent already.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn must_judge(&mut self, store: &dyn Store, now: Now) -> Result<bool, StoreError> {
        Ok(self.workers.has_silent(now) || self.has_expired(store, now)?)
    }

    /// Closes the connections of workers that had been silent for too long at the monotonic time
    /// `as_of`, and ends a bounded part of the reservations that were over then; true where more
    /// may be over. All that clients had sent by `as_of` must have been carried out.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn judge(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        as_of: Duration,
    ) -> Result<bool, StoreError> {
        // A heartbeat may stand behind what waits. Its client can do nothing about that.
        let held_up: Vec<_> = self.held_up().collect();
        held_up.into_iter().for_each(|connection| self.hear(now, connection));
        for (worker, connections) in self.workers.reap(as_of) {
            tracing::info!(
                worker = %Excerpt(&worker),
                connections = connections.len(),
                "a worker has sent no heartbeat for over a minute; its connections are closed"
            );
            connections.into_iter().for_each(|connection| self.close(connection));
        }
        self.expire(store, now, as_of)
    }

    /// True where a part of something is done and the next part can be done at once.
    fn is_at_work(&self) -> bool {
        self.tasks.has_next()
            || !self.trash.is_empty()
            || !self.to_serve.is_empty()
            || !self.runnable.is_empty()
            || self.has_left_behind()
    }

    /// True where commands that were submitted have not been carried out, though nothing but the
    /// machine's own work holds them up: the work on other commands, or on an earlier command of
    /// their connection.
    #[must_use]
    pub fn has_runnable(&self) -> bool {
        let at_work = || self.tasks.connections().chain(self.infos.connections());
        !self.runnable.is_empty()
            || !self.tasks.is_empty() && at_work().any(|id| self.connections.has_backlog(id))
    }

    /// True where commands that were submitted wait until replies to other clients have been
    /// written, and so does all that their clients sent behind them.
    #[must_use]
    pub fn has_held_up(&self) -> bool {
        self.held_up().next().is_some()
    }

    /// Notes that a part of a long line has arrived on a connection: its worker is not silent.
    pub fn hear(&mut self, now: Now, connection: ConnectionId) {
        if let Some(wid) = self.connections.wid(connection) {
            self.workers.hear(wid, now);
        }
    }

    /// The time until [`Machine::advance`] has something to do.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Duration {
        self.next_work(now).min(self.next_judgement(now))
    }

    /// The time until [`Machine::work`] has something to do.
    #[must_use]
    pub fn next_work(&self, now: Now) -> Duration {
        if self.is_at_work() {
            return Duration::ZERO;
        }
        let wait = self.waiting.next_deadline();
        let wait = wait.map(|deadline| deadline.saturating_sub(now.monotonic));
        let due = |location, longest: Duration| {
            let first = self.timers.first(location);
            first.map(|key| key.due.since(now.wall).min(longest))
        };
        let dues = [
            due(Location::Scheduled, SCHEDULED_SLEEP_MAX),
            due(Location::Retries, SCHEDULED_SLEEP_MAX),
            due(Location::Dead, SLEEP_MAX),
        ];
        wait.into_iter().chain(dues.into_iter().flatten()).min().unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    /// The time until [`Machine::must_judge`] has something to look at.
    #[must_use]
    pub fn next_judgement(&self, now: Now) -> Duration {
        let check = self.workers.next_check().map(|at| at.saturating_sub(now.monotonic));
        check.into_iter().chain(self.next_expiry(now)).min().unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }
}
