//! How a reservation ends: ACK, FAIL, or its time running out.

use std::time::Duration;

use faktory_wire::{FailReport, Failure, Reply};

use super::backoff::backoff;
use super::keys::{self, Place, Slot};
use super::records::Entry;
use super::{Edit, Machine, Now, given_back};
use crate::store::{Store, StoreError, Table};

/// A dead job is kept for this long.
pub(super) const DEAD_FOR: Duration = Duration::from_secs(180 * 24 * 60 * 60);

impl Machine {
    pub(super) fn ack(&mut self, store: &mut dyn Store, jid: &str) -> Result<Reply, StoreError> {
        // An unknown one is fine: an ACK may be sent again by whoever missed its answer.
        if let Some((slot, entry)) = oldest_reservation(store, jid)? {
            let mut edit = Edit::default();
            self.take_out(&mut edit, Place::Working, slot, &entry);
            edit.batch.delete(Table::Bodies, keys::body(entry.job));
            self.counters.processed += 1;
            self.unsynced = true;
            self.commit(store, edit)?;
        } else if let Some(place) = self.given_back.take(keys::id_hash(jid)) {
            self.ack_queued(store, place)?;
        }
        Ok(Reply::OK)
    }

    /// The job was put back because nobody knew whether it had arrived. It had, and is done.
    fn ack_queued(
        &mut self,
        store: &mut dyn Store,
        place: given_back::Place,
    ) -> Result<(), StoreError> {
        let key = keys::queued(place.queue, place.position);
        let Some(entry) =
            store.get(Table::Queued, &key)?.map(|bytes| Entry::decode(&bytes)).transpose()?
        else {
            return Ok(());
        };
        let Some(queue) = self.queues.get_mut(place.queue).filter(|_| entry.job == place.job)
        else {
            return Ok(());
        };
        queue.take_out(place.position);
        let mut edit = Edit::default();
        edit.touch(place.queue);
        edit.batch.delete(Table::Queued, key);
        edit.batch.delete(Table::Bodies, keys::body(entry.job));
        self.counters.processed += 1;
        self.unsynced = true;
        self.commit(store, edit)
    }

    pub(super) fn fail(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        report: FailReport,
    ) -> Result<Reply, StoreError> {
        let Some((slot, entry)) = oldest_reservation(store, &report.jid)? else {
            return Ok(Reply::error(format_args!(
                "Job not found {}",
                report.jid.chars().take(200).collect::<String>()
            )));
        };
        let mut edit = Edit::default();
        self.take_out(&mut edit, Place::Working, slot, &entry);
        self.failed(&mut edit, now, entry, report.within_limits());
        self.unsynced = true;
        self.commit(store, edit)?;
        Ok(Reply::OK)
    }

    /// Ends reservations whose time has run out.
    pub(super) fn expire_reservations(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        due: Vec<(Slot, Entry)>,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for (slot, entry) in due {
            self.take_out(&mut edit, Place::Working, slot, &entry);
            let report = FailReport {
                errtype: "ReservationExpired".into(),
                message: "Faktory job reservation expired".into(),
                ..FailReport::default()
            };
            self.failed(&mut edit, now, entry, report);
            self.tasks.expired += 1;
        }
        self.commit(store, edit)
    }

    /// What becomes of a job that failed: again later, dead, or gone.
    fn failed(&mut self, edit: &mut Edit, now: Now, mut entry: Entry, report: FailReport) {
        self.counters.processed += 1;
        self.counters.failures += 1;
        let mut failure = match entry.failure.take() {
            Some(before) => Failure {
                retry_count: before.retry_count.saturating_add(1),
                remaining: if before.remaining > 0 {
                    before.remaining - 1
                } else {
                    before.remaining
                },
                ..before
            },
            None => Failure {
                failed_at: now.wall.to_string(),
                remaining: entry.retry,
                ..Failure::default()
            },
        };
        failure.errtype = report.errtype;
        failure.message = report.message;
        failure.backtrace = report.backtrace;
        if entry.retry == 0 {
            edit.batch.delete(Table::Bodies, keys::body(entry.job));
            return;
        }
        let (place, due) = if failure.retry_count < entry.retry {
            let due = now.wall.plus(backoff(failure.retry_count, &mut self.random));
            failure.next_at = due.to_string();
            (Place::Retries, due)
        } else {
            (Place::Dead, now.wall.plus(DEAD_FOR))
        };
        let slot = Slot { due, number: entry.job };
        entry.failure = Some(failure);
        self.put_into(edit, place, slot, &entry);
    }
}

/// Ids may repeat; the reservation made first is released first.
fn oldest_reservation(store: &dyn Store, jid: &str) -> Result<Option<(Slot, Entry)>, StoreError> {
    let hash = keys::id_hash(jid);
    let (from, to) =
        (keys::index_prefix(Place::Working, &hash), keys::index_limit(Place::Working, &hash));
    let Some((key, value)) = store.range(Table::Index, &from, &to, 1)?.pop() else {
        return Ok(None);
    };
    let slot = slot_of_index(&key, &value)?;
    // Both are written and deleted in one batch; an entry of the index that points nowhere is none.
    let Some(entry) = store.get(Table::Sets, &keys::set(Place::Working, slot))? else {
        return Ok(None);
    };
    Ok(Some((slot, Entry::decode(&entry)?)))
}

pub(super) fn slot_of_index(key: &[u8], value: &[u8]) -> Result<Slot, StoreError> {
    match (keys::due_of(value), keys::number_of(key)) {
        (Some(due), Some(number)) => Ok(Slot { due, number }),
        _ => Err(StoreError::Corrupt("index")),
    }
}
