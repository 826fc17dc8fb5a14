//! FETCH: handing jobs out.

use bytes::Bytes;
use faktory_wire::Reply;
use std::time::Duration;

use super::connections::State;
use super::keys::{self, Place, Slot};
use super::records::Entry;
use super::{ConnectionId, Edit, Machine, Now, Reservation, given_back};
use crate::store::{Store, StoreError, Table};

/// A reservation ends so long after its time: an ACK that is on its way then still counts. Faktory
/// looks every 15 s.
const GRACE: Duration = Duration::from_secs(10);

impl Machine {
    pub(super) fn fetch(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        queues: Vec<String>,
    ) -> Result<(), StoreError> {
        if self.connections.input_ended(connection) {
            // Whoever stopped sending may have stopped listening: no job is risked.
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

    /// Hands the jobs of a queue to those who wait for it.
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
                self.waiting.silence(ticket);
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

    /// Takes the first job of the first of these queues that has one and is not paused.
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

    /// Pop and reservation are one write: no crash can come between them.
    fn reserve(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        queue: u32,
        position: u64,
        entry: &Entry,
    ) -> Result<Option<(Reply, Reservation)>, StoreError> {
        self.given_back.forget(entry.id, entry.job);
        let mut edit = Edit::default();
        edit.touch(queue);
        edit.batch.delete(Table::Queued, keys::queued(queue, position));
        let body = store.get(Table::Bodies, &keys::body(entry.job))?;
        let Some(body) = body else {
            self.commit(store, edit)?;
            return Ok(None);
        };
        let due = now.wall.plus(Duration::from_secs(u64::from(entry.reserve_for)) + GRACE);
        let slot = Slot { due, number: self.counters.number() };
        self.put_into(&mut edit, Place::Working, slot, entry);
        self.commit(store, edit)?;
        Ok(Some((
            Reply::Bulk(Bytes::from(document(body, entry))),
            Reservation { slot, may_have_arrived: false },
        )))
    }

    /// Jobs whose replies could not be delivered go back to where they were, all before the next
    /// one is handed out; nothing of this counts as a failure. One that may have arrived and may be
    /// run only once stays reserved: it could be running.
    pub(super) fn give_back(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        reservations: &[Reservation],
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for Reservation { slot, may_have_arrived } in reservations {
            let Some(bytes) = store.get(Table::Sets, &keys::set(Place::Working, *slot))? else {
                continue;
            };
            let entry = Entry::decode(&bytes)?;
            if *may_have_arrived && entry.retry == 0 {
                continue;
            }
            self.take_out(&mut edit, Place::Working, *slot, &entry);
            match self.queues.get_mut(entry.queue) {
                Some(queue) => {
                    edit.touch(entry.queue);
                    edit.batch.put(
                        Table::Queued,
                        keys::queued(entry.queue, entry.position),
                        entry.encode(),
                    );
                    if *may_have_arrived {
                        self.given_back.note(
                            entry.id,
                            given_back::Place {
                                queue: entry.queue,
                                position: entry.position,
                                job: entry.job,
                            },
                        );
                    }
                    queue.put_back(entry.position, entry);
                }
                None => self.enqueue(store, &mut edit, now, entry)?,
            }
        }
        self.commit_and_serve(store, now, edit)
    }
}

/// The whole job as JSON: its body, and what is known beside it.
pub(super) fn document(mut body: Vec<u8>, entry: &Entry) -> Vec<u8> {
    body.pop();
    body.extend_from_slice(b",\"enqueued_at\":\"");
    body.extend_from_slice(entry.enqueued_at.to_string().as_bytes());
    body.push(b'"');
    if let Some(failure) = &entry.failure {
        body.extend_from_slice(b",\"failure\":");
        failure.encode(&mut body);
    }
    body.push(b'}');
    body
}
