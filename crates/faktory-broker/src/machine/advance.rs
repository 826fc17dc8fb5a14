//! What happens without a command: waits end, jobs come due, reservations expire, and long work
//! goes on.

use std::time::Duration;

use faktory_wire::Reply;

use super::{Machine, Now};
use crate::store::{Store, StoreError};

/// The longest sleep. The wall clock may be set, and a job must not stay due for long after that.
const SLEEP_MAX: Duration = Duration::from_secs(60);

impl Machine {
    /// Does a bounded part of the work that is due; true where more is due at once.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn advance(&mut self, store: &mut dyn Store, now: Now) -> Result<bool, StoreError> {
        for waiter in self.waiting.expired(now.monotonic) {
            self.answer_fetch(waiter.connection, Reply::Nothing, None);
            self.unblock(waiter.connection);
        }
        for (worker, connections) in self.workers.reap(now) {
            tracing::info!(
                %worker,
                connections = connections.len(),
                "a worker has sent no heartbeat for over a minute; its connections are closed"
            );
            connections.into_iter().for_each(|connection| self.close(connection));
        }
        let mut more = self.advance_sets(store, now)?;
        more |= self.advance_mutation(store, now)?;
        more |= self.advance_trash(store)?;
        self.run(store, now)?;
        Ok(more)
    }

    /// The time until [`Machine::advance`] has something to do.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Duration {
        if !self.mutations.is_empty() || !self.trash.is_empty() {
            return Duration::ZERO;
        }
        let waits = self.waiting.next_deadline().into_iter().chain(self.workers.next_check());
        let waits = waits.map(|deadline| deadline.saturating_sub(now.monotonic));
        let dues = self.timers.next().map(|due| due.since(now.wall));
        waits.chain(dues).min().unwrap_or(Duration::MAX).min(SLEEP_MAX)
    }
}
