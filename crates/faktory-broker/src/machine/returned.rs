//! Returned jobs. A job is returned where the reply to its FETCH could not be delivered: its
//! reservation ends without a failure, and the job lies at its old position in its queue again.
//! Where that queue was removed, the job goes to the end of a new queue of the same name instead,
//! and is not in the ledger.
//! (`requeue` in `sets.rs` is another thing: a job moves from a set to the end of its queue; and so
//! is `requeue.rs`: a worker gives a job back.)
//!
//! Some of these replies may have arrived all the same. The ledger here holds where such jobs lie,
//! so that an ACK from the worker that did get the job ends the job in its queue, and a WF REQUEUE
//! moves it. Without the ledger, the ACK would have no effect and the job would be run a second
//! time.

use std::collections::{HashMap, VecDeque};

use faktory_wire::Reply;

use super::edit::Edit;
use super::keys::{self, IdHash, Location};
use super::output::Reservation;
use super::records::Entry;
use super::{Machine, Now, index};
use crate::store::{Store, StoreError, Table};

/// The most jobs in the ledger. An ACK for an older job has no effect, and the job is run again, as
/// may happen to every job.
const LEDGER_MAX: usize = 100_000;

/// Where a job lies in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueuePosition {
    pub(super) queue: u32,
    pub(super) position: u64,
    /// The number of the job, because another job may lie at this position later.
    pub(super) job: u64,
    /// The number of the reservation under which the job was handed out.
    pub(super) reservation: u64,
}

/// The ledger of returned jobs whose replies may have arrived.
#[derive(Debug, Default)]
pub(super) struct Returned {
    by_id: HashMap<IdHash, VecDeque<QueuePosition>>,
    /// All jobs of the ledger, oldest first. Jobs that are no longer in the map are skipped.
    order: VecDeque<(IdHash, u64)>,
}

impl Returned {
    pub(super) fn note(&mut self, id: IdHash, position: QueuePosition) {
        self.by_id.entry(id).or_default().push_back(position);
        self.order.push_back((id, position.job));
        if self.order.len() > LEDGER_MAX
            && let Some((id, job)) = self.order.pop_front()
        {
            self.forget(id, job);
        }
    }

    /// Takes out the job of this id that was returned first.
    pub(super) fn take(&mut self, id: IdHash) -> Option<QueuePosition> {
        let positions = self.by_id.get_mut(&id)?;
        let position = positions.pop_front();
        if positions.is_empty() {
            self.by_id.remove(&id);
        }
        position
    }

    /// Takes out the job of this id that was handed out under this reservation.
    fn take_of(&mut self, id: IdHash, reservation: u64) -> Option<QueuePosition> {
        let positions = self.by_id.get_mut(&id)?;
        let index = positions.iter().position(|position| position.reservation == reservation)?;
        let position = positions.remove(index);
        if positions.is_empty() {
            self.by_id.remove(&id);
        }
        position
    }

    /// Forgets a job that is handed out again: from now on an ACK ends its new reservation.
    pub(super) fn forget(&mut self, id: IdHash, job: u64) {
        let Some(positions) = self.by_id.get_mut(&id) else { return };
        positions.retain(|position| position.job != job);
        if positions.is_empty() {
            self.by_id.remove(&id);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Machine {
    /// Puts jobs back whose replies could not be delivered. All of them lie in their queues before
    /// the next job is handed out, and none counts as failed. A job with `retry: 0` that may have
    /// arrived stays reserved, because a worker could be running it.
    pub(super) fn return_undelivered(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        reservations: &[Reservation],
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for Reservation { key, may_have_arrived } in reservations {
            let Some(bytes) = store.get(Table::Sets, &keys::set(Location::Working, *key))? else {
                continue;
            };
            let entry = Entry::decode(&bytes)?;
            if *may_have_arrived && entry.retry == 0 {
                continue;
            }
            self.take_out(&mut edit, Location::Working, *key, &entry);
            match self.queues.get_mut(entry.queue) {
                Some(queue) => {
                    let (id, position) = (entry.id, position_of(&entry, key.number));
                    edit.touch(position.queue);
                    edit.batch.put(
                        Table::Queued,
                        keys::queued(position.queue, position.position),
                        entry.encode(),
                    );
                    queue.put_back(position.position, entry);
                    if *may_have_arrived {
                        self.returned.note(id, position);
                    }
                }
                None => {
                    self.enqueue(store, &mut edit, now, entry)?;
                }
            }
        }
        self.commit_and_serve(store, now, edit)
    }

    /// Ends the returned job of this id that lies in its queue, where the ledger has one. The
    /// answer to the ACK is the same in either case.
    pub(super) fn ack_returned(
        &mut self,
        store: &mut dyn Store,
        jid: &str,
    ) -> Result<Reply, StoreError> {
        let Some(position) = self.returned.take(keys::id_hash(jid)) else { return Ok(Reply::OK) };
        let mut edit = Edit::default();
        if let Some(entry) = self.take_out_returned(store, &mut edit, position)? {
            edit.batch.delete(Table::Bodies, keys::body(entry.job));
            self.counters.processed += 1;
            self.unsynced = true;
            self.commit(store, edit)?;
        }
        Ok(Reply::OK)
    }

    /// Takes out the job that was handed out under this reservation; `None` where that has ended.
    pub(super) fn take_reserved(
        &mut self,
        store: &dyn Store,
        edit: &mut Edit,
        jid: &str,
        reservation: u64,
    ) -> Result<Option<Entry>, StoreError> {
        if let Some((key, entry)) = index::reservation(store, jid, reservation)? {
            self.take_out(edit, Location::Working, key, &entry);
            return Ok(Some(entry));
        }
        // The reply to the FETCH had arrived after all: the job lies in its queue again.
        match self.returned.take_of(keys::id_hash(jid), reservation) {
            Some(position) => self.take_out_returned(store, edit, position),
            None => Ok(None),
        }
    }

    /// Takes a returned job out of its queue, where it still lies at this position.
    fn take_out_returned(
        &mut self,
        store: &dyn Store,
        edit: &mut Edit,
        position: QueuePosition,
    ) -> Result<Option<Entry>, StoreError> {
        let key = keys::queued(position.queue, position.position);
        let Some(bytes) = store.get(Table::Queued, &key)? else { return Ok(None) };
        let entry = Entry::decode(&bytes)?;
        let queue = self.queues.get_mut(position.queue).filter(|_| entry.job == position.job);
        let Some(queue) = queue else { return Ok(None) };
        queue.take_out(position.position);
        edit.touch(position.queue);
        edit.batch.delete(Table::Queued, key);
        Ok(Some(entry))
    }
}

const fn position_of(entry: &Entry, reservation: u64) -> QueuePosition {
    let Entry { queue, position, job, .. } = *entry;
    QueuePosition { queue, position, job, reservation }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(job: u64) -> QueuePosition {
        QueuePosition { queue: 1, position: job, job, reservation: job + 100 }
    }

    #[test]
    fn jobs_with_the_same_id_are_taken_in_the_order_of_their_return() {
        let mut returned = Returned::default();
        returned.note([1; 16], position(5));
        returned.note([1; 16], position(6));
        returned.note([2; 16], position(7));
        returned.forget([2; 16], 7);
        let taken = [returned.take([1; 16]), returned.take([1; 16]), returned.take([1; 16])];
        assert_eq!(taken, [Some(position(5)), Some(position(6)), None]);
        assert_eq!(returned.take([2; 16]), None);
    }

    #[test]
    fn a_job_is_taken_by_the_number_of_its_reservation_once() {
        let mut returned = Returned::default();
        returned.note([1; 16], position(5));
        returned.note([1; 16], position(6));
        assert_eq!(returned.take_of([1; 16], 6), None, "the number of a job");
        assert_eq!(returned.take_of([1; 16], 106), Some(position(6)));
        assert_eq!(returned.take_of([1; 16], 106), None);
        assert_eq!(returned.take([1; 16]), Some(position(5)));
    }

    #[test]
    fn the_oldest_job_is_forgotten_when_the_ledger_is_full() {
        let mut returned = Returned::default();
        for job in 0..=LEDGER_MAX as u64 {
            returned.note([u8::from(job == 0); 16], position(job));
        }
        assert_eq!(returned.take([1; 16]), None);
        assert_eq!(returned.take([0; 16]), Some(position(1)));
    }
}
