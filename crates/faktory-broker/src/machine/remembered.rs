//! The ids of jobs that were pushed to be stored once. A push of an id that is remembered stores
//! nothing: it is answered as the first one was, or refused where its contents are others.
//!
//! Our own ids are UUIDs of version 7, which begin with the time at which they were made. They lie
//! in the table [`Table::Ids`] in the order of that time, so that a new one is behind nearly all
//! others, and old ones are forgotten by one floor. All other ids lie in [`Table::OtherIds`] by
//! their hash, in generations that are forgotten as a whole. Memory holds a few words for each
//! slice of time, and nothing for an id.

mod recent;
mod slices;
mod uuid;

use bytes::Bytes;
use faktory_wire::Timestamp;

use super::keys::{self, IdHash};
use crate::store::{Batch, Change, Key, Store, StoreError, Table};
use recent::Recent;
pub(super) use slices::Slice;
use slices::Slices;
pub(super) use uuid::Uuid;

/// How long ids are remembered, and in how much room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdLimits {
    /// Seconds for which an id is remembered; 0 for not at all.
    pub seconds: u32,
    /// About the most bytes on the disk for remembered ids. Beyond them the oldest are forgotten.
    pub bytes: u64,
}

/// What is known of the remembered ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RememberedIds {
    /// How many there are, about.
    pub count: u64,
    /// The seconds for which an id is surely remembered: those of [`IdLimits`], or fewer where old
    /// ones were forgotten for want of room.
    pub window: u32,
    /// The pushes since the start that stored nothing, because their ids were remembered.
    pub duplicates: u64,
}

/// The bytes that a remembered id takes on the disk, about: lengths and checksum 5, key 17 or 21,
/// value 12, its part of the filter and the index 2.
const ID_BYTES: u64 = 40;

/// An id, as it is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Id {
    /// The id, where it is a UUID of version 7 that nobody but its maker can know.
    uuid: Option<Uuid>,
    /// The hash of the id and of whose it is.
    hash: IdHash,
}

impl Id {
    /// The id of a job, of which `hash` is [`keys::id_hash`].
    pub(super) fn of_job(jid: &str, hash: IdHash, caller: Option<&str>) -> Self {
        match caller {
            None => Self { uuid: Uuid::parse(jid), hash },
            Some(caller) => Self { uuid: None, hash: keys::hash_of(["job", caller, jid]) },
        }
    }

    /// A key under which jobs are pushed.
    pub(super) fn of_key(key: &str, caller: Option<&str>) -> Self {
        Self { uuid: None, hash: keys::hash_of(["key", caller.unwrap_or_default(), key]) }
    }
}

/// What is remembered of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    /// A hash of the contents.
    contents: u64,
    /// The second of the wall clock at which it is forgotten.
    until: u32,
}

impl Memory {
    fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let (contents, until) = (self.contents.to_be_bytes(), self.until.to_be_bytes());
        bytes.iter_mut().zip(contents.into_iter().chain(until)).for_each(|(to, from)| *to = from);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = StoreError::Corrupt("remembered id");
        let (contents, until) = bytes.split_first_chunk().ok_or(corrupt)?;
        let until = until.try_into().map_err(|_| StoreError::Corrupt("remembered id"))?;
        let contents = u64::from_be_bytes(*contents);
        Ok(Self { contents, until: u32::from_be_bytes(until) })
    }
}

/// What is known of an id that is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is new, or forgotten; then it may lie somewhere still.
    New(Option<Place>),
    /// It was pushed with these contents.
    Same,
    /// It was pushed with other contents.
    Other,
}

/// The remembered ids.
#[derive(Debug)]
pub(super) struct Remembered {
    limits: IdLimits,
    slices: Slices,
    recent: Recent,
    /// The second in which it was last looked what is to be forgotten.
    looked: Option<i64>,
    /// Pushes that stored nothing because their id was remembered.
    pub(super) duplicates: u64,
}

impl Remembered {
    pub(super) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let limits = IdLimits { seconds: 0, bytes: 0 };
        let slices = Slices::load(store)?;
        let recent = Recent::behind(slices.newest());
        Ok(Self { limits, slices, recent, looked: None, duplicates: 0 })
    }

    pub(super) const fn set_limits(&mut self, limits: IdLimits) {
        self.limits = limits;
    }

    /// True where ids are remembered.
    pub(super) const fn is_on(&self) -> bool {
        self.limits.seconds > 0
    }

    pub(super) fn figures(&self, now: Timestamp) -> RememberedIds {
        RememberedIds {
            count: self.slices.iter().map(|slice| slice.count).sum(),
            window: self.slices.window(seconds(now), self.limits.seconds),
            duplicates: self.duplicates,
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.slices = Slices::default();
        self.recent = Recent::behind(Uuid::FIRST);
    }

    /// What is known of an id.
    pub(super) fn look_up(
        &self,
        store: &dyn Store,
        now: Timestamp,
        id: &Id,
        contents: u64,
    ) -> Result<Known, StoreError> {
        Ok(match self.find(store, id)? {
            None => Known::New(None),
            Some((place, memory)) if is_over(memory.until, now) => Known::New(Some(place)),
            Some((_, memory)) if memory.contents == contents => Known::Same,
            Some(_) => Known::Other,
        })
    }

    fn find(&self, store: &dyn Store, id: &Id) -> Result<Option<(Place, Memory)>, StoreError> {
        let may_be_there = |uuid: &Uuid| self.slices.may_have(uuid) && !self.recent.is_new(uuid);
        if let Some(uuid) = id.uuid.filter(may_be_there) {
            let place = Place::Ordered(uuid);
            if let Some(bytes) = place.get(store)? {
                return Ok(Some((place, Memory::decode(&bytes)?)));
            }
        }
        let is_wanted = |slice: &Slice| match id.uuid {
            Some(_) => slice.displaced > 0,
            None => slice.hashed > 0,
        };
        for generation in self.slices.generations(is_wanted) {
            let place = Place::Hashed(generation, id.hash);
            if let Some(bytes) = place.get(store)? {
                return Ok(Some((place, Memory::decode(&bytes)?)));
            }
        }
        Ok(None)
    }

    /// Remembers an id of which nothing is known but where it may lie still, for so many seconds
    /// where that is less than the window.
    pub(super) fn remember(
        &mut self,
        store: &mut dyn Store,
        now: Timestamp,
        (id, old): (&Id, Option<Place>),
        contents: u64,
        for_seconds: Option<u32>,
    ) -> Result<(), StoreError> {
        if self.slices.is_empty() {
            self.advance(store, now)?;
        }
        let most = self.limits.seconds;
        let until = seconds(now) + i64::from(for_seconds.map_or(most, |asked| asked.min(most)));
        let until = u32::try_from(until.max(0)).unwrap_or(u32::MAX);
        let place = match id.uuid {
            Some(uuid) if self.slices.is_in_order(&uuid, now) => Place::Ordered(uuid),
            _ => Place::Hashed(self.slices.generation(), id.hash),
        };
        self.slices.note(place, id.uuid.is_some());
        if let Place::Ordered(uuid) = place {
            self.recent.note(uuid);
        }
        if let Some(old) = old {
            store.change(Change::Delete(old.key()))?;
        }
        place.set(store, &Memory { contents, until }.encode())
    }

    /// Begins slices and forgets old ones, where it is time to: it is looked once a second.
    pub(super) fn advance(
        &mut self,
        store: &mut dyn Store,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.looked.replace(seconds(now)) == Some(seconds(now)) && !self.slices.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        self.slices.advance(now, self.limits, &mut batch);
        if batch.changes.is_empty() { Ok(()) } else { store.write(batch) }
    }

    /// Adds the records of the slices that were changed.
    pub(super) fn settle(&mut self, batch: &mut Batch) {
        self.slices.settle(batch);
    }
}

/// Where a remembered id lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Ordered(Uuid),
    Hashed(u32, IdHash),
}

impl Place {
    fn key(self) -> Key {
        match self {
            Self::Ordered(uuid) => Table::Ids.key(uuid.0),
            Self::Hashed(generation, hash) => {
                Table::OtherIds.key(keys::other_id(generation, &hash))
            }
        }
    }

    fn set(self, store: &mut dyn Store, value: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Ordered(uuid) => store.insert(Table::Ids, &uuid.0, value),
            Self::Hashed(generation, hash) => {
                store.insert(Table::OtherIds, &keys::other_id(generation, &hash), value)
            }
        }
    }

    fn get(self, store: &dyn Store) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Ordered(uuid) => store.get(Table::Ids, &uuid.0),
            Self::Hashed(generation, hash) => {
                store.get(Table::OtherIds, &keys::other_id(generation, &hash))
            }
        }
    }
}

/// The whole seconds of a time.
fn seconds(time: Timestamp) -> i64 {
    time.micros().div_euclid(1_000_000)
}

fn is_over(until: u32, now: Timestamp) -> bool {
    i64::from(until) <= seconds(now)
}
