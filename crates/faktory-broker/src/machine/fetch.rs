//! FETCH: jobs are handed out and reserved.

use std::time::Duration;

use bytes::Bytes;
use faktory_wire::Reply;

use super::connections::State;
use super::edit::Edit;
use super::keys::{self, EntryKey, Location};
use super::output::Reservation;
use super::records::Entry;
use super::{ConnectionId, Machine, Now};
use crate::store::{Store, StoreError, Table};

/// The time that a reservation lasts beyond `reserve_for`, so that an ACK that is under way still
/// counts. Faktory checks every 15 s.
const GRACE: Duration = Duration::from_secs(10);

/// The time that a reservation lasts, for a job with this `reserve_for`.
pub(super) fn reserved_for(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds)) + GRACE
}

impl Machine {
    pub(super) fn fetch(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        queues: Vec<String>,
    ) -> Result<(), StoreError> {
        if self.connections.input_ended(connection) {
            // A client that stopped sending may have stopped reading too, so no job is risked.
            self.answer_fetch(connection, Reply::Nothing, None);
            return Ok(());
        }
        let queues = if self.workers.may_fetch(self.connections.wid(connection)) {
            queues
        } else {
            Vec::new()
        };
        if let Some((reply, reservation)) = self.take_from_first(store, now, &queues)? {
            self.answer_fetch(connection, reply, Some(reservation));
            return Ok(());
        }
        let ticket = self.waiting.add(connection, queues, now.monotonic);
        self.connections.set_state(connection, State::Fetching(ticket));
        Ok(())
    }

    /// Hands the jobs of a queue to the FETCHes that wait for the queue.
    pub(super) fn serve(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        queue: u32,
    ) -> Result<(), StoreError> {
        while let Some(waiting_in) =
            self.queues.get(queue).filter(|queue| queue.length > 0 && !queue.paused)
            && let Some((ticket, connection)) = self.waiting.first(&waiting_in.name)
        {
            if !self.workers.may_fetch(self.connections.wid(connection)) {
                self.waiting.drop_queues(ticket);
                continue;
            }
            let Some(waiter) = self.waiting.remove(ticket) else { continue };
            let (reply, reservation) = match self.take_from_first(store, now, &waiter.queues)? {
                Some((reply, reservation)) => (reply, Some(reservation)),
                None => (Reply::Nothing, None),
            };
            self.answer_fetch(connection, reply, reservation);
            self.unblock(connection);
        }
        Ok(())
    }

    /// Takes the first job of the first of these queues that has a job and is not paused.
    fn take_from_first(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        queues: &[String],
    ) -> Result<Option<(Reply, Reservation)>, StoreError> {
        for name in queues {
            let Some(id) = self.queues.id(name) else { continue };
            while let Some(queue) =
                self.queues.get_mut(id).filter(|queue| queue.length > 0 && !queue.paused)
            {
                let Some((position, entry)) = queue.take_first(store, id)? else { break };
                if let Some(taken) = self.reserve(store, now, id, position, &entry)? {
                    return Ok(Some(taken));
                }
            }
        }
        Ok(None)
    }

    /// Moves a job from its queue to the working set, in one write, so that no crash can come
    /// between pop and reservation. `None` where the body of the job is missing.
    fn reserve(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        queue: u32,
        position: u64,
        entry: &Entry,
    ) -> Result<Option<(Reply, Reservation)>, StoreError> {
        self.returned.forget(entry.id, entry.job);
        let mut edit = Edit::default();
        edit.touch(queue);
        edit.batch.delete(Table::Queued, keys::queued(queue, position));
        let body = store.get(Table::Bodies, &keys::body(entry.job))?;
        let Some(body) = body else {
            self.commit(store, edit)?;
            return Ok(None);
        };
        let due = self.reservation_end(now, entry.reserve_for);
        let key = EntryKey { due, number: self.counters.number() };
        self.put_into(&mut edit, Location::Working, key, entry);
        self.commit(store, edit)?;
        Ok(Some((Reply::Bulk(Bytes::from(entry.document(body))), Reservation::unsent(key))))
    }
}
