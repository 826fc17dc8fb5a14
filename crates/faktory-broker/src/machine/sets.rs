//! The sets: scheduled, retries, dead and working. Entries are put in and taken out here, and what
//! comes due is handled: scheduled jobs and retries go into their queues, reservations expire, and
//! dead jobs are deleted.

use faktory_wire::Timestamp;

use super::edit::Edit;
use super::index::Found;
use super::keys::{self, EntryKey, Location};
use super::records::Entry;
use super::work::SLICE_BYTES;
use super::{Machine, Now, READ_MAX};
use crate::store::{Pair, Store, StoreError, Table, name_of};

/// For each set, a key before which the set has no entry: that of its first entry, or an earlier
/// one where the first entry has been taken out. The store is read from this key on, because a read
/// over deleted entries takes time for each of them.
#[derive(Debug, Default)]
pub(super) struct Timers {
    first: [Option<EntryKey>; 4],
}

impl Timers {
    const fn of(&mut self, location: Location) -> &mut Option<EntryKey> {
        let [scheduled, retries, dead, working] = &mut self.first;
        match location {
            Location::Scheduled => scheduled,
            Location::Retries => retries,
            Location::Dead => dead,
            Location::Working => working,
        }
    }

    fn note(&mut self, location: Location, key: EntryKey) {
        let first = self.of(location);
        *first = Some(first.map_or(key, |before| before.min(key)));
    }

    /// A key before which the set has no entry; `None` where the set is empty.
    pub(super) const fn first(&self, location: Location) -> Option<EntryKey> {
        let [scheduled, retries, dead, working] = self.first;
        match location {
            Location::Scheduled => scheduled,
            Location::Retries => retries,
            Location::Dead => dead,
            Location::Working => working,
        }
    }

    pub(super) const fn clear(&mut self) {
        self.first = [None; 4];
    }
}

impl Machine {
    pub(super) fn put_into(
        &mut self,
        edit: &mut Edit,
        location: Location,
        key: EntryKey,
        entry: &Entry,
    ) {
        edit.batch.put(Table::Sets, keys::set(location, key), entry.encode());
        edit.batch.put(
            Table::Index,
            keys::index(location, &entry.id, key.number),
            keys::due_value(key.due),
        );
        *self.counters.size(location) += 1;
        self.timers.note(location, key);
    }

    pub(super) fn take_out(
        &mut self,
        edit: &mut Edit,
        location: Location,
        key: EntryKey,
        entry: &Entry,
    ) {
        edit.batch.delete(Table::Sets, keys::set(location, key));
        edit.batch.delete(Table::Index, keys::index(location, &entry.id, key.number));
        let size = self.counters.size(location);
        *size = size.saturating_sub(1);
    }

    /// Finds the first entry of a set, from the key on that was the first before.
    pub(super) fn find_first(
        &mut self,
        store: &dyn Store,
        location: Location,
    ) -> Result<(), StoreError> {
        let from = self.timers.of(location).map_or_else(
            || keys::set_start(location).to_vec(),
            |key| keys::set(location, key).to_vec(),
        );
        let first = store.range(Table::Sets, &from, &keys::set_limit(location), 1)?;
        *self.timers.of(location) = match first.first() {
            Some((key, _)) => {
                Some(keys::entry_key_of(name_of(key)).ok_or(StoreError::Corrupt("set key"))?)
            }
            None => None,
        };
        Ok(())
    }

    /// Handles a bounded part of the entries that are due by the wall clock; true where more may be
    /// due. Reservations are not among them: they go by another clock (`reservations.rs`).
    pub(super) fn advance_sets(
        &mut self,
        store: &mut dyn Store,
        now: Now,
    ) -> Result<bool, StoreError> {
        let mut more = false;
        for location in [Location::Scheduled, Location::Retries, Location::Dead] {
            more |= self.advance_set(store, now, location, now.wall)?;
        }
        Ok(more)
    }

    /// Handles a slice of the entries that are due at `until`; true where more may be due.
    pub(super) fn advance_set(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        location: Location,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        self.work.begin();
        let Some(first) = self.timers.first(location).filter(|first| first.due <= until) else {
            return Ok(false);
        };
        let (from, to) = (keys::set(location, first).to_vec(), keys::set_end(location, until));
        let (due, mut more) = self.entries_of_slice(store, location, from, &to)?;
        if let Some((last, _)) = due.last() {
            // An entry that is put in meanwhile, with an earlier key, is noted by `put_into`.
            *self.timers.of(location) =
                Some(EntryKey { number: last.number.saturating_add(1), ..*last });
        }
        match location {
            Location::Scheduled | Location::Retries => {
                if let Some(first) = self.promote(store, now, location, due)? {
                    *self.timers.of(location) = Some(first);
                    more = true;
                }
            }
            Location::Dead => self.discard(store, location, due)?,
            Location::Working => self.expire_reservations(store, now, due)?,
        }
        self.find_first(store, location)?;
        Ok(more)
    }

    /// The entries between two keys, as many as the slice allows; true where there may be more.
    pub(super) fn entries_of_slice(
        &mut self,
        store: &dyn Store,
        location: Location,
        mut from: Vec<u8>,
        to: &[u8],
    ) -> Result<(Vec<Found>, bool), StoreError> {
        let mut all: Vec<Found> = Vec::new();
        while !self.work.is_spent() {
            let found = entries(store, &from, to, READ_MAX)?;
            let is_last = found.len() < READ_MAX;
            let bytes = found.iter().map(|(_, entry)| entry.failure_bytes()).sum();
            self.work.spend(found.len(), bytes);
            all.extend(found);
            if is_last {
                return Ok((all, false));
            }
            if let Some((last, _)) = all.last() {
                from = keys::set(location, *last).to_vec();
                from.push(0);
            }
        }
        Ok((all, true))
    }

    /// Moves due jobs into their queues; the first that was not reached.
    fn promote(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        location: Location,
        due: Vec<Found>,
    ) -> Result<Option<EntryKey>, StoreError> {
        let count = due.len() as u64;
        let rest = self.requeue(store, now, location, due)?;
        let count = count.saturating_sub(rest.len() as u64);
        match location {
            Location::Scheduled => self.counts.scheduled_enqueued += count,
            Location::Retries | Location::Dead | Location::Working => {
                self.counts.retries_enqueued += count;
            }
        }
        Ok(rest.first().copied())
    }

    /// Moves jobs from a set to the end of their queues, and returns those that were not reached:
    /// the body of a job whose queue was removed has to be read, and may be large.
    pub(super) fn requeue(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        location: Location,
        jobs: Vec<Found>,
    ) -> Result<Vec<EntryKey>, StoreError> {
        let mut edit = Edit::default();
        let mut jobs = jobs.into_iter();
        let mut read = 0;
        while read < SLICE_BYTES
            && let Some((key, entry)) = jobs.next()
        {
            self.take_out(&mut edit, location, key, &entry);
            read += self.enqueue(store, &mut edit, now, entry)?;
        }
        self.commit_and_serve(store, now, edit)?;
        Ok(jobs.map(|(key, _)| key).collect())
    }

    /// Deletes jobs of a set.
    pub(super) fn discard(
        &mut self,
        store: &mut dyn Store,
        location: Location,
        jobs: Vec<Found>,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        for (key, entry) in jobs {
            self.take_out(&mut edit, location, key, &entry);
            edit.batch.delete(Table::Bodies, keys::body(entry.job));
        }
        self.commit(store, edit)
    }
}

/// Up to `limit` entries of a set between two keys.
pub(super) fn entries(
    store: &dyn Store,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Result<Vec<Found>, StoreError> {
    let pairs = store.range(Table::Sets, from, to, limit)?;
    let read = |(key, value): &Pair| {
        let key = keys::entry_key_of(name_of(key)).ok_or(StoreError::Corrupt("set key"))?;
        Ok((key, Entry::decode(value)?))
    };
    pairs.iter().map(read).collect()
}
