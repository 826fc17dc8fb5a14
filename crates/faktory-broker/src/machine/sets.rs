//! What comes due in the sets: scheduled jobs and retries go into their queues, reservations
//! expire, the dead are let go.

use faktory_wire::Timestamp;

use super::keys::{self, Place, Slot};
use super::records::Entry;
use super::{CHUNK, Edit, Machine, Now};
use crate::store::{Store, StoreError, Table};

/// The first entry of each place. It may be too early (what was first may have been taken out),
/// never too late; from there on the store is read, because to pass over what was deleted before it
/// costs time for each entry.
#[derive(Debug, Default)]
pub(super) struct Timers {
    first: [Option<Slot>; 4],
}

impl Timers {
    const fn of(&mut self, place: Place) -> &mut Option<Slot> {
        let [scheduled, retries, dead, working] = &mut self.first;
        match place {
            Place::Scheduled => scheduled,
            Place::Retries => retries,
            Place::Dead => dead,
            Place::Working => working,
        }
    }

    pub(super) fn note(&mut self, place: Place, slot: Slot) {
        let first = self.of(place);
        *first = Some(first.map_or(slot, |before| before.min(slot)));
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.first.iter().flatten().map(|slot| slot.due).min()
    }

    pub(super) const fn clear(&mut self) {
        self.first = [None; 4];
    }
}

impl Machine {
    /// Finds the first entry of a place, from the one that was first on.
    pub(super) fn find_first(&mut self, store: &dyn Store, place: Place) -> Result<(), StoreError> {
        let from = self
            .timers
            .of(place)
            .map_or_else(|| keys::set_start(place), |slot| keys::set(place, slot));
        let first = store.range(Table::Sets, &from, &keys::set_limit(place), 1)?;
        *self.timers.of(place) = match first.first() {
            Some((key, _)) => Some(keys::slot_of(key).ok_or(StoreError::Corrupt("set key"))?),
            None => None,
        };
        Ok(())
    }

    /// Handles a bounded part of what is due; true where there may be more.
    pub(super) fn advance_sets(
        &mut self,
        store: &mut dyn Store,
        now: Now,
    ) -> Result<bool, StoreError> {
        let mut more = false;
        for place in Place::ALL {
            let Some(first) = self.timers.of(place).filter(|first| first.due <= now.wall) else {
                continue;
            };
            let due =
                entries(store, &keys::set(place, first), &keys::set_end(place, now.wall), CHUNK)?;
            let full = due.len() == CHUNK;
            if let Some((last, _)) = due.last() {
                // What is put in meanwhile and lies before this is noted by `put_into`.
                *self.timers.of(place) =
                    Some(Slot { number: last.number.saturating_add(1), ..*last });
            }
            match place {
                Place::Scheduled | Place::Retries => self.promote(store, now, place, due)?,
                Place::Dead => self.discard(store, place, due)?,
                Place::Working => self.expire_reservations(store, now, due)?,
            }
            self.find_first(store, place)?;
            more |= full;
        }
        Ok(more)
    }

    fn promote(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        place: Place,
        due: Vec<(Slot, Entry)>,
    ) -> Result<(), StoreError> {
        let count = due.len() as u64;
        match place {
            Place::Scheduled => self.tasks.scheduled_enqueued += count,
            Place::Retries | Place::Dead | Place::Working => self.tasks.retries_enqueued += count,
        }
        self.requeue(store, now, place, due)
    }

    /// From a set into the queues.
    pub(super) fn requeue(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        place: Place,
        jobs: Vec<(Slot, Entry)>,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for (slot, entry) in jobs {
            self.take_out(&mut edit, place, slot, &entry);
            self.enqueue(store, &mut edit, now, entry)?;
        }
        self.commit_and_serve(store, now, edit)
    }

    /// Out of a set and gone.
    pub(super) fn discard(
        &mut self,
        store: &mut dyn Store,
        place: Place,
        jobs: Vec<(Slot, Entry)>,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for (slot, entry) in jobs {
            self.take_out(&mut edit, place, slot, &entry);
            edit.batch.delete(Table::Bodies, keys::body(entry.job));
        }
        self.commit(store, edit)
    }
}

/// Entries of a set between two keys.
pub(super) fn entries(
    store: &dyn Store,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<(Slot, Entry)>, StoreError> {
    let pairs = store.range(Table::Sets, from, to, limit)?;
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        Ok((keys::slot_of(key).ok_or(StoreError::Corrupt("set key"))?, Entry::decode(value)?))
    };
    pairs.iter().map(read).collect()
}
