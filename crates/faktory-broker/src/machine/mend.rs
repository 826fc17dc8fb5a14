//! Makes the tables of a damaged store agree: what is left of it is read twice, and written into an
//! empty store.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use faktory_wire::{DEFAULT_RETRY, Job, SetSizes, Timestamp};

use super::keys::{self, EntryKey, Location};
use super::member;
use super::queues::may_be_queue;
use super::records::{Counters, Entry, QueueRecord};
use super::remembered::Slice;
use crate::store::{Batch, Key, Store, StoreError, Table, format, name_of};

/// What became of the jobs of a damaged store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// The jobs that the old store had by its own count.
    pub counted: u64,
    /// The jobs that the new store has.
    pub kept: u64,
    /// Of these, the jobs of which nothing said where they were: they are at the end of their
    /// queues, or scheduled where they name a time.
    pub put_at_end: u64,
    /// Jobs that are not kept, because their bodies are missing.
    pub without_body: u64,
    /// Entries that are not kept, because a newer one of the same job is.
    pub older_entries: u64,
    /// Jobs of removed queues, which were to be deleted.
    pub removed: u64,
    /// Records that can't be read.
    pub unreadable: u64,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Queued(u32, u64),
    Set(Location, EntryKey),
}

/// What the first reading gathers. Memory grows with the jobs: about sixty bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    counters: Option<Counters>,
    queues: BTreeMap<u32, QueueRecord>,
    trash: BTreeSet<u32>,
    /// The jobs that have a body.
    bodies: BTreeSet<u64>,
    /// For each job the newest place, with a number that grew whenever the job moved.
    places: HashMap<u64, (u64, Place)>,
    highest: u64,
    highest_queue: u32,
    /// The slices of remembered ids.
    slices: BTreeMap<u32, Slice>,
    mended: Mended,
}

/// A key and its value, as far as they are to be read here.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Read {
    Body(u64),
    Entry(Place, Entry),
    /// An id that is remembered.
    Id,
    Other,
}

fn read(key: &Key, value: &[u8]) -> Option<Read> {
    let name = name_of(key);
    Some(match Table::of(key)? {
        Table::Bodies => Read::Body(u64::from_be_bytes(name.try_into().ok()?)),
        Table::Queued => {
            let queue = u32::from_be_bytes(name.get(..4)?.try_into().ok()?);
            Read::Entry(Place::Queued(queue, keys::position_of(name)?), Entry::decode(value).ok()?)
        }
        Table::Sets => {
            let place = Place::Set(keys::location_of(name)?, keys::entry_key_of(name)?);
            Read::Entry(place, Entry::decode(value).ok()?)
        }
        Table::Meta | Table::Index => Read::Other,
        Table::Ids | Table::OtherIds => Read::Id,
    })
}

impl Gathered {
    /// Notes a key.
    pub(crate) fn note(&mut self, key: &Key, value: &[u8]) {
        let noted = match read(key, value) {
            Some(Read::Body(job)) => {
                self.highest = self.highest.max(job);
                self.bodies.insert(job);
                Some(())
            }
            Some(Read::Entry(place, entry)) => {
                self.note_entry(place, &entry);
                Some(())
            }
            Some(Read::Other) if Table::of(key) == Some(Table::Meta) => {
                self.note_meta(name_of(key), value)
            }
            // The index is made anew.
            Some(Read::Other | Read::Id) => Some(()),
            None => None,
        };
        self.mended.unreadable += u64::from(noted.is_none());
    }

    fn note_meta(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        if name == keys::COUNTERS_KEY {
            self.counters = Some(Counters::decode(value).ok()?);
        } else if name.starts_with(keys::QUEUES.0) {
            let id = keys::queue_id_of(name)?;
            self.highest_queue = self.highest_queue.max(id);
            self.queues.insert(id, QueueRecord::decode(value).ok()?);
        } else if name.starts_with(keys::TRASH.0) {
            let id = keys::queue_id_of(name)?;
            self.highest_queue = self.highest_queue.max(id);
            self.trash.insert(id);
        } else if name.starts_with(keys::SLICES.0) {
            let id = keys::slice_id_of(name)?;
            self.slices.insert(id, Slice::decode(id, value)?);
        }
        Some(())
    }

    fn note_entry(&mut self, place: Place, entry: &Entry) {
        let moved = match place {
            Place::Queued(_, position) => position,
            Place::Set(Location::Working, key) => key.number,
            Place::Set(_, key) => {
                self.highest = self.highest.max(key.number);
                entry.position
            }
        };
        self.highest_queue = self.highest_queue.max(entry.queue);
        self.highest = self.highest.max(moved).max(entry.job).max(entry.position);
        match self.places.get_mut(&entry.job) {
            None => drop(self.places.insert(entry.job, (moved, place))),
            Some(known) => {
                self.mended.older_entries += 1;
                if known.0 < moved {
                    *known = (moved, place);
                }
            }
        }
    }

    /// Begins to write. `now` is when jobs of which nothing is known enter their queues.
    pub(crate) fn into_mending(mut self, now: Timestamp) -> Mending {
        let mut counters = self.counters.unwrap_or_default();
        let SetSizes { dead, retries, scheduled, working } = counters.sets;
        let queued: u64 = self.queues.values().map(|queue| queue.length).sum();
        self.mended.counted = queued + dead + retries + scheduled + working;
        counters.next = counters.next.max(self.highest);
        counters.next_queue = counters.next_queue.max(self.highest_queue);
        counters.sets = SetSizes::default();
        let names = self.tidy_queues();
        let (batch, newest_id, has_other_ids) = (Batch::default(), Vec::new(), false);
        Mending { gathered: self, counters, names, now, batch, newest_id, has_other_ids }
    }
}

impl Gathered {
    /// Leaves one record for each name: older ones have come to light because their removal can't
    /// be read. The ids of the queues by their names.
    fn tidy_queues(&mut self) -> HashMap<String, u32> {
        let mut names = HashMap::new();
        for id in &self.trash {
            self.queues.remove(id);
        }
        for (id, queue) in &mut self.queues {
            queue.length = 0;
            names.insert(queue.name.clone(), *id);
        }
        self.queues.retain(|id, queue| names.get(&queue.name) == Some(id));
        names
    }
}

/// The second reading: every key that is kept goes into the new store.
pub(crate) struct Mending {
    gathered: Gathered,
    counters: Counters,
    names: HashMap<String, u32>,
    now: Timestamp,
    batch: Batch,
    /// The last of the remembered UUIDs that were kept.
    newest_id: Vec<u8>,
    /// Other remembered ids were kept.
    has_other_ids: bool,
}

impl Mending {
    /// Takes a key. The keys come in the same order as before.
    ///
    /// # Errors
    /// Where the new store fails.
    pub(crate) fn take(
        &mut self,
        store: &mut dyn Store,
        key: &Key,
        value: &Bytes,
    ) -> Result<(), StoreError> {
        match read(key, value) {
            Some(Read::Body(job)) => self.take_body(job, value),
            Some(Read::Entry(place, entry)) => self.take_entry(store, place, entry)?,
            Some(Read::Id) => self.take_id(key, value),
            Some(Read::Other) | None => {}
        }
        store.write(std::mem::take(&mut self.batch))
    }

    /// Keeps a remembered id, unless it was forgotten.
    fn take_id(&mut self, key: &Key, value: &Bytes) {
        let Some((_, first)) = self.gathered.slices.first_key_value() else { return };
        let Some(table) = Table::of(key).filter(|table| first.remembers(*table, name_of(key)))
        else {
            return;
        };
        match table {
            Table::Ids => self.newest_id = name_of(key).to_vec(),
            _ => self.has_other_ids = true,
        }
        self.batch.put(table, name_of(key), value.clone());
    }

    fn take_body(&mut self, job: u64, body: &Bytes) {
        match self.gathered.places.get(&job) {
            Some((_, Place::Queued(queue, _))) if self.gathered.trash.contains(queue) => {
                self.gathered.mended.removed += 1;
            }
            Some(_) => {
                self.gathered.mended.kept += 1;
                self.batch.put(Table::Bodies, keys::body(job), body.clone());
            }
            None => match self.entry_of(job, body) {
                Some((entry, due)) => {
                    self.gathered.mended.kept += 1;
                    self.gathered.mended.put_at_end += 1;
                    self.batch.put(Table::Bodies, keys::body(job), body.clone());
                    match due {
                        Some(due) => {
                            let key = EntryKey { due, number: job };
                            self.put(Place::Set(Location::Scheduled, key), &entry);
                        }
                        None => self.put(Place::Queued(entry.queue, entry.position), &entry),
                    }
                }
                None => self.gathered.mended.unreadable += 1,
            },
        }
    }

    /// An entry for a job of which only the body is there, and when it is due.
    fn entry_of(&mut self, number: u64, body: &[u8]) -> Option<(Entry, Option<Timestamp>)> {
        let job = Job::parse(body).ok()?;
        let due = job.check().ok()?;
        let queue = self.queue_for(job.queue_name())?;
        let entry = Entry {
            job: number,
            queue,
            position: self.counters.number(),
            retry: job.retry.unwrap_or(DEFAULT_RETRY),
            reserve_for: job.effective_reserve_for(),
            enqueued_at: self.now,
            id: keys::id_hash(&job.jid),
            failure: None,
        };
        Some((entry, due))
    }

    fn queue_for(&mut self, name: &str) -> Option<u32> {
        if let Some(id) = self.names.get(name) {
            return Some(*id);
        }
        if !may_be_queue(name) {
            return None;
        }
        self.counters.next_queue += 1;
        let id = self.counters.next_queue;
        let name = name.to_owned();
        self.names.insert(name.clone(), id);
        let record = QueueRecord { name, length: 0, paused: false, known: true };
        self.gathered.queues.insert(id, record);
        Some(id)
    }

    fn take_entry(
        &mut self,
        store: &dyn Store,
        mut place: Place,
        mut entry: Entry,
    ) -> Result<(), StoreError> {
        if self.gathered.places.get(&entry.job).is_none_or(|(_, newest)| *newest != place) {
            return Ok(());
        }
        if matches!(place, Place::Queued(queue, _) if self.gathered.trash.contains(&queue)) {
            return Ok(());
        }
        if !self.gathered.bodies.contains(&entry.job) {
            self.gathered.mended.without_body += 1;
            return Ok(());
        }
        if let Place::Queued(queue, position) = place
            && !self.gathered.queues.contains_key(&queue)
        {
            let body = store.get(Table::Bodies, &keys::body(entry.job))?.unwrap_or_default();
            let name = member::queue_of(&body).unwrap_or_default();
            let Some(queue) = self.queue_for(&name) else {
                self.gathered.mended.unreadable += 1;
                self.gathered.mended.kept -= 1;
                self.batch.delete(Table::Bodies, keys::body(entry.job));
                return Ok(());
            };
            (entry.queue, place) = (queue, Place::Queued(queue, position));
        }
        self.put(place, &entry);
        Ok(())
    }

    fn put(&mut self, place: Place, entry: &Entry) {
        match place {
            Place::Queued(queue, position) => {
                self.batch.put(Table::Queued, keys::queued(queue, position), entry.encode());
                if let Some(record) = self.gathered.queues.get_mut(&queue) {
                    (record.length, record.known) = (record.length + 1, true);
                }
            }
            Place::Set(location, key) => {
                let EntryKey { due, number } = key;
                let index = keys::index(location, &entry.id, number);
                self.batch.put(Table::Sets, keys::set(location, key), entry.encode());
                self.batch.put(Table::Index, index, keys::due_value(due));
                *self.counters.size(location) += 1;
            }
        }
    }

    /// Writes the format, the counters and the queues.
    ///
    /// # Errors
    /// Where the new store fails.
    pub(crate) fn end(self, store: &mut dyn Store) -> Result<Mended, StoreError> {
        let mut batch = self.batch;
        batch.put(Table::Meta, format::KEY, format::VERSION.to_be_bytes().to_vec());
        batch.put(Table::Meta, keys::COUNTERS_KEY, self.counters.encode());
        for (id, QueueRecord { name, length, paused, known }) in self.gathered.queues {
            let record = QueueRecord::encode(&name, length, paused, known);
            batch.put(Table::Meta, keys::queue(id), record);
        }
        for (id, mut slice) in self.gathered.slices {
            slice.raise(&self.newest_id, self.has_other_ids);
            batch.put(Table::Meta, keys::slice(id), slice.encode());
        }
        store.write(batch)?;
        Ok(self.gathered.mended)
    }
}
