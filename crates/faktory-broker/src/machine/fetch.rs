//! FETCH and WF FETCH: jobs are handed out and reserved.

use std::time::Duration;

use bytes::Bytes;
use faktory_wire::Reply;

use super::connections::State;
use super::edit::Edit;
use super::keys::{self, EntryKey, Location};
use super::output::Reservation;
use super::queues::Queue;
use super::records::Entry;
use super::replies::LARGE_REPLY_BYTES;
use super::waiting::Asked;
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
        (queues, asked): (Vec<String>, Asked),
    ) -> Result<(), StoreError> {
        if self.connections.input_ended(connection) {
            // A client that stopped sending may have stopped reading too, so no job is risked.
            self.answer_fetch(connection, Reply::Nothing, Vec::new());
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
            && let Some((reply, reservations)) =
                self.take_from_first(store, now, connection, (&queues, asked))?
        {
            self.answer_fetch(connection, reply, reservations);
            return Ok(());
        }
        let with_jobs: Vec<u32> = queues
            .iter()
            .filter_map(|name| self.queues.id(name))
            .filter(|id| self.queues.get(*id).is_some_and(Queue::has_job))
            .collect();
        let ticket = self.waiting.add(connection, (queues, asked), now.monotonic);
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
            let asked = self.waiting.share(&waiting_in.name, ticket, waiting_in.length);
            let queues = self.waiting.queues(ticket);
            let taken = self.take_from_first(store, now, connection, (&queues, asked))?;
            self.waiting.put_queues(ticket, queues);
            let Some((reply, reservations)) = taken else { continue };
            if let Some(waiter) = self.waiting.remove(ticket) {
                self.work.spend(1 + waiter.queues.len() / NAMES_OF_A_STEP, 0);
            }
            self.answer_fetch(connection, reply, reservations);
            self.unblock(connection);
        }
        Ok(())
    }

    /// Takes jobs from the first of these queues that has one and is not paused, and from the next
    /// where that has no more, for a connection. All are reserved in one write.
    fn take_from_first(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        (queues, asked): (&[String], Asked),
    ) -> Result<Option<(Reply, Vec<Reservation>)>, StoreError> {
        let mut answer = Answer::new(asked, self.connections.knows_reservations(connection));
        for name in queues {
            let Some(id) = self.queues.id(name) else { continue };
            while answer.has_room()
                && (answer.is_empty() || !self.work.is_spent())
                && let Some(queue) = self.queues.get_mut(id).filter(|queue| queue.has_job())
                && let Some((position, entry)) = queue.take_first(store, id)?
            {
                self.reserve(store, now, (id, position, entry), &mut answer)?;
            }
        }
        let Answer { edit, json, reservations, .. } = answer;
        self.commit(store, edit)?;
        Ok((!reservations.is_empty()).then(|| (Reply::Bulk(Bytes::from(json)), reservations)))
    }

    /// Moves a job from its queue to the working set, and into the answer; in one write, so that no
    /// crash can come between pop and reservation. A job without a body is dropped. Where there is
    /// no room for it, the job stays first in its queue.
    fn reserve(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        (queue, position, entry): (u32, u64, Entry),
        answer: &mut Answer,
    ) -> Result<(), StoreError> {
        let body = store.get(Table::Bodies, &keys::body(entry.job))?;
        let bytes = body.as_ref().map_or(0, Bytes::len);
        // The command itself has been counted.
        self.work.spend(usize::from(!answer.is_empty()), bytes);
        if bytes > self.replies.room() {
            if let Some(first) = self.queues.get_mut(queue) {
                first.put_first(position, entry);
                first.awaits_room = true;
                self.replies.wait_for_room(queue);
            }
            return Ok(());
        }
        if let Some(body) = &body {
            let due = self.reservation_end(now, entry.reserve_for);
            let key = EntryKey { due, number: self.counters.number() };
            if !answer.add(&entry, body, key) {
                if let Some(first) = self.queues.get_mut(queue) {
                    first.put_first(position, entry);
                }
                return Ok(());
            }
            self.put_into(&mut answer.edit, Location::Working, key, &entry);
        }
        self.returned.forget(entry.id, entry.job);
        answer.edit.touch(queue);
        answer.edit.batch.delete(Table::Queued, keys::queued(queue, position));
        Ok(())
    }
}

/// The jobs for one FETCH.
struct Answer {
    /// The most jobs.
    most: usize,
    /// The client is told the numbers of the reservations.
    tells_numbers: bool,
    /// The next job has no room.
    is_full: bool,
    json: Vec<u8>,
    reservations: Vec<Reservation>,
    edit: Edit,
}

impl Answer {
    fn new(asked: Asked, knows_reservations: bool) -> Self {
        let (most, tells_numbers) = match asked {
            Asked::OneJob => (1, knows_reservations),
            Asked::UpTo(most) => (most, true),
        };
        Self {
            most,
            tells_numbers,
            is_full: false,
            json: Vec::new(),
            reservations: Vec::new(),
            edit: Edit::default(),
        }
    }

    const fn is_empty(&self) -> bool {
        self.reservations.is_empty()
    }

    const fn has_room(&self) -> bool {
        !self.is_full && self.reservations.len() < self.most
    }

    /// Adds a job; false where it would make the answer of several jobs a large one.
    fn add(&mut self, entry: &Entry, body: &[u8], key: EntryKey) -> bool {
        let before = self.json.len();
        // Looked at first, so that a long job is not copied for nothing.
        if !self.is_empty() && before + body.len() > LARGE_REPLY_BYTES {
            self.is_full = true;
            return false;
        }
        if !self.is_empty() {
            self.json.push(b'\n');
        }
        entry.write_document(body, self.tells_numbers.then_some(key.number), &mut self.json);
        if !self.is_empty() && self.json.len() > LARGE_REPLY_BYTES {
            self.json.truncate(before);
            self.json.shrink_to(LARGE_REPLY_BYTES);
            self.is_full = true;
            return false;
        }
        self.reservations.push(Reservation::unsent(key));
        true
    }
}
