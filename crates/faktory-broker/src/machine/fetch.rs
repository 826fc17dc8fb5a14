//! FETCH: jobs are handed out and reserved.

use std::time::Duration;

use bytes::Bytes;
use faktory_wire::Reply;

use super::connections::State;
use super::edit::Edit;
use super::keys::{self, EntryKey, Location};
use super::output::Reservation;
use super::queues::Queue;
use super::records::Entry;
use super::{ConnectionId, Machine, Now};
use crate::store::{Store, StoreError, Table};

/// The time that a reservation lasts beyond `reserve_for`, so that an ACK that is under way still
/// counts. Faktory checks every 15 s.
const GRACE: Duration = Duration::from_secs(10);

/// The names of queues in a FETCH that count as one step of work, because they are only looked up
/// in memory.
pub(super) const NAMES_OF_A_STEP: usize = 10;

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
        self.work.spend(queues.len() / NAMES_OF_A_STEP, 0);
        // Where FETCHes that have waited longer are being served, they come first.
        let is_served = |name: &String| {
            let queue = self.queues.id(name).and_then(|id| self.queues.get(id));
            queue.is_some_and(|queue| queue.is_served)
        };
        if (self.to_serve.is_empty() || !queues.iter().any(is_served))
            && let Some((reply, reservation)) =
                self.take_from_first(store, now, connection, &queues)?
        {
            self.answer_fetch(connection, reply, Some(reservation));
            return Ok(());
        }
        let with_jobs: Vec<u32> = queues
            .iter()
            .filter_map(|name| self.queues.id(name))
            .filter(|id| self.queues.get(*id).is_some_and(Queue::has_job))
            .collect();
        let ticket = self.waiting.add(connection, queues, now.monotonic);
        self.connections.set_state(connection, State::Fetching(ticket));
        for queue in with_jobs {
            self.serve_later(queue);
        }
        Ok(())
    }

    /// Notes a queue whose jobs are to be handed to the FETCHes that wait for the queue.
    pub(super) fn serve_later(&mut self, id: u32) {
        if let Some(queue) = self.queues.get_mut(id)
            && self.waiting.first(&queue.name).is_some()
            && !std::mem::replace(&mut queue.is_served, true)
        {
            self.to_serve.push_back(id);
        }
    }

    /// Hands jobs to the FETCHes that wait, until the slice is over.
    pub(super) fn serve(&mut self, store: &mut dyn Store, now: Now) -> Result<(), StoreError> {
        while !self.work.is_spent()
            && let Some(queue) = self.to_serve.front().copied()
        {
            self.serve_queue(store, now, queue)?;
            if !self.work.is_spent() {
                self.to_serve.pop_front();
                if let Some(queue) = self.queues.get_mut(queue) {
                    queue.is_served = false;
                }
            }
        }
        Ok(())
    }

    /// Hands the jobs of a queue to the FETCHes that wait for the queue, until the slice is over.
    fn serve_queue(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        queue: u32,
    ) -> Result<(), StoreError> {
        while !self.work.is_spent()
            && let Some(waiting_in) = self.queues.get(queue).filter(|queue| queue.has_job())
            && let Some((ticket, connection)) = self.waiting.first(&waiting_in.name)
        {
            if !self.workers.may_fetch(self.connections.wid(connection)) {
                self.waiting.drop_queues(ticket);
                continue;
            }
            // A job that has to wait for room leaves the FETCH its turn.
            let queues = self.waiting.queues(ticket);
            let taken = self.take_from_first(store, now, connection, &queues)?;
            self.waiting.put_queues(ticket, queues);
            let Some((reply, reservation)) = taken else { continue };
            if let Some(waiter) = self.waiting.remove(ticket) {
                self.work.spend(1 + waiter.queues.len() / NAMES_OF_A_STEP, 0);
            }
            self.answer_fetch(connection, reply, Some(reservation));
            self.unblock(connection);
        }
        Ok(())
    }

    /// Takes the first job of the first of these queues that has a job and is not paused, for a
    /// connection.
    fn take_from_first(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        queues: &[String],
    ) -> Result<Option<(Reply, Reservation)>, StoreError> {
        for name in queues {
            let Some(id) = self.queues.id(name) else { continue };
            while let Some(queue) = self.queues.get_mut(id).filter(|queue| queue.has_job()) {
                let Some((position, entry)) = queue.take_first(store, id)? else { break };
                if let Some((entry, body, key)) = self.reserve(store, now, id, position, entry)? {
                    let knows = self.connections.knows_reservations(connection);
                    let job = entry.document(&body, knows.then_some(key.number));
                    return Ok(Some((Reply::Bulk(Bytes::from(job)), Reservation::unsent(key))));
                }
            }
        }
        Ok(None)
    }

    /// Moves a job from its queue to the working set, in one write, so that no crash can come
    /// between pop and reservation. `None` where the body of the job is missing, or where there is
    /// no room for its reply: then the job stays first in its queue, and the queue waits for room.
    fn reserve(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        queue: u32,
        position: u64,
        entry: Entry,
    ) -> Result<Option<(Entry, Bytes, EntryKey)>, StoreError> {
        let body = store.get(Table::Bodies, &keys::body(entry.job))?;
        let bytes = body.as_ref().map_or(0, Bytes::len);
        self.work.spend(0, bytes);
        if bytes > self.replies.room() {
            if let Some(first) = self.queues.get_mut(queue) {
                first.put_first(position, entry);
                first.awaits_room = true;
                self.replies.wait_for_room(queue);
            }
            return Ok(None);
        }
        self.returned.forget(entry.id, entry.job);
        let mut edit = Edit::default();
        edit.touch(queue);
        edit.batch.delete(Table::Queued, keys::queued(queue, position));
        let Some(body) = body else {
            self.commit(store, edit)?;
            return Ok(None);
        };
        let due = self.reservation_end(now, entry.reserve_for);
        let key = EntryKey { due, number: self.counters.number() };
        self.put_into(&mut edit, Location::Working, key, &entry);
        self.commit(store, edit)?;
        Ok(Some((entry, body, key)))
    }
}
