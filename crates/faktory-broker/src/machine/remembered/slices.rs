//! The slices of time in which ids are remembered: what is forgotten, and when.

use std::collections::VecDeque;

use faktory_wire::Timestamp;

use super::{ID_BYTES, IdLimits, Place, Uuid, seconds};
use crate::machine::keys;
use crate::store::{Batch, Store, StoreError, Table, name_of};

/// A window of time has so many slices, and so has the room.
const PARTS: u32 = 24;
/// So many slices make a generation of the other ids.
const GENERATION: u32 = 6;
/// The seconds by which the clock of who made an id may differ from that of the broker. A UUID
/// that seems to be made at another time is remembered by its hash.
const SKEW: i64 = 120;

/// What was remembered in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::machine) struct Slice {
    /// Its number.
    id: u32,
    /// The second of the wall clock in which it began.
    begun: i64,
    /// The ids that were remembered.
    pub(super) count: u64,
    /// Those that lie by their hash, but for the next.
    pub(super) hashed: u64,
    /// UUIDs that lie by their hash, because their time is too far off.
    pub(super) displaced: u64,
    /// The last of the UUIDs that lie in order, in all slices so far.
    newest: Uuid,
    /// Below this one all UUIDs are forgotten that lie in order.
    floor: Uuid,
}

/// All slices, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Slices {
    slices: VecDeque<Slice>,
    /// The last one was changed since its record was written.
    is_changed: bool,
}

impl Slices {
    pub(super) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let (from, to) = keys::SLICES;
        let records = store.range(Table::Meta, from, to, usize::MAX)?;
        let slices = records.iter().map(|(key, value)| {
            let id = keys::slice_id_of(name_of(key));
            let slice = id.and_then(|id| Slice::decode(id, value));
            slice.ok_or(StoreError::Corrupt("slice of remembered ids"))
        });
        Ok(Self { slices: slices.collect::<Result<_, _>>()?, is_changed: false })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slice> {
        self.slices.iter()
    }

    /// The last of the UUIDs that lie in order.
    pub(super) fn newest(&self) -> Uuid {
        self.slices.back().map_or(Uuid::FIRST, |slice| slice.newest)
    }

    fn floor(&self) -> Uuid {
        self.slices.front().map_or(Uuid::FIRST, |slice| slice.floor)
    }

    /// True where a UUID may lie in order.
    pub(super) fn may_have(&self, uuid: &Uuid) -> bool {
        self.slices.back().is_some_and(|last| *uuid <= last.newest) && *uuid >= self.floor()
    }

    /// True where a UUID is to lie in order.
    pub(super) fn is_in_order(&self, uuid: &Uuid, now: Timestamp) -> bool {
        uuid.seconds().abs_diff(seconds(now)) <= SKEW.unsigned_abs() && *uuid >= self.floor()
    }

    /// The generation of what is remembered now.
    pub(super) fn generation(&self) -> u32 {
        self.slices.back().map_or(0, |slice| slice.id / GENERATION)
    }

    /// The generations with a slice that is wanted, the newest first.
    pub(super) fn generations(
        &self,
        is_wanted: impl Fn(&Slice) -> bool,
    ) -> impl Iterator<Item = u32> {
        let mut last = None;
        let wanted = self.slices.iter().rev().filter(move |slice| is_wanted(slice));
        wanted
            .map(|slice| slice.id / GENERATION)
            .filter(move |generation| last.replace(*generation) != Some(*generation))
    }

    /// Notes that an id is remembered.
    pub(super) fn note(&mut self, place: Place, is_uuid: bool) {
        let Some(last) = self.slices.back_mut() else { return };
        self.is_changed = true;
        last.count += 1;
        match place {
            Place::Ordered(uuid) => last.newest = last.newest.max(uuid),
            Place::Hashed(..) if is_uuid => last.displaced += 1,
            Place::Hashed(..) => last.hashed += 1,
        }
    }

    /// Begins a slice where it is time to, and forgets old ones. The last one always stays: its
    /// number and its floor go on.
    pub(super) fn advance(&mut self, now: Timestamp, limits: IdLimits, batch: &mut Batch) {
        let (now, window) = (seconds(now), i64::from(limits.seconds));
        let most = (limits.bytes / ID_BYTES).max(u64::from(PARTS));
        let length = (window / i64::from(PARTS)).max(1);
        let is_full = |slice: &Slice| {
            let is_long = now - slice.begun >= length;
            slice.count > 0 && (is_long || slice.count >= most / u64::from(PARTS))
        };
        if window > 0 && self.slices.back().is_none_or(is_full) {
            self.begin(now, batch);
        }
        while let [oldest, next, ..] = *self.slices.make_contiguous() {
            let floor = if next.begun + window <= now {
                Uuid::first_of(next.begun - SKEW)
            } else if self.slices.iter().map(|slice| slice.count).sum::<u64>() > most {
                // Of the next slice those go too that were made earlier.
                oldest.newest.next()
            } else {
                break;
            };
            self.forget_oldest(floor, batch);
        }
    }

    /// The seconds for which ids are surely remembered, of a window of so many: fewer where older
    /// slices were forgotten before it was over.
    pub(super) fn window(&self, now: i64, window: u32) -> u32 {
        match self.slices.front() {
            Some(first) if first.id > 0 => {
                let kept = (now - first.begun - SKEW).max(0);
                let is_whole = first.begun + i64::from(window) <= now;
                if is_whole { window } else { window.min(u32::try_from(kept).unwrap_or(window)) }
            }
            _ => window,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    fn begin(&mut self, now: i64, batch: &mut Batch) {
        self.settle(batch);
        let next = match self.slices.back() {
            None => Slice::first(now),
            Some(last) => {
                let Slice { id, newest, floor, .. } = *last;
                Slice { id: id + 1, newest, floor, ..Slice::first(now) }
            }
        };
        self.slices.push_back(next);
        self.is_changed = true;
    }

    fn forget_oldest(&mut self, floor: Uuid, batch: &mut Batch) {
        let Some(gone) = self.slices.pop_front() else { return };
        batch.delete(Table::Meta, keys::slice(gone.id));
        let Some(first) = self.slices.front_mut() else { return };
        first.floor = first.floor.max(gone.floor).max(floor);
        if first.id / GENERATION == gone.id / GENERATION {
            // What lies by its hash lies there as long as its generation.
            first.hashed += gone.hashed;
            first.displaced += gone.displaced;
        }
        batch.put(Table::Meta, keys::slice(first.id), first.encode());
        if first.floor > gone.floor {
            batch.floor(Table::Ids, first.floor.0);
        }
        let generation = first.id / GENERATION;
        if generation > gone.id / GENERATION {
            batch.floor(Table::OtherIds, generation.to_be_bytes());
        }
    }

    /// Adds the record of the last slice, where it was changed.
    pub(super) fn settle(&mut self, batch: &mut Batch) {
        if std::mem::take(&mut self.is_changed)
            && let Some(last) = self.slices.back()
        {
            batch.put(Table::Meta, keys::slice(last.id), last.encode());
        }
    }
}

impl Slice {
    const fn first(begun: i64) -> Self {
        let (count, hashed, displaced) = (0, 0, 0);
        let (newest, floor) = (Uuid::FIRST, Uuid::FIRST);
        Self { id: 0, begun, count, hashed, displaced, newest, floor }
    }

    /// True where this, the oldest slice, or a later one may remember the id of this name.
    pub(in crate::machine) fn remembers(&self, table: Table, name: &[u8]) -> bool {
        match table {
            Table::Ids => name >= self.floor.0.as_slice(),
            _ => name >= (self.id / GENERATION).to_be_bytes().as_slice(),
        }
    }

    /// Lets the slice know of ids that are there though its record, an older one, does not say so:
    /// UUIDs up to this name, and others.
    pub(in crate::machine) fn raise(&mut self, newest: &[u8], has_others: bool) {
        if let Ok(newest) = newest.try_into() {
            self.newest = self.newest.max(Uuid(newest));
        }
        self.hashed = self.hashed.max(has_others.into());
        self.displaced = self.displaced.max(has_others.into());
    }

    pub(in crate::machine) fn encode(&self) -> Vec<u8> {
        let Self { id: _, begun, count, hashed, displaced, newest, floor } = self;
        let numbers = [begun.cast_unsigned(), *count, *hashed, *displaced];
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        numbers.chain(newest.0).chain(floor.0).collect()
    }

    /// `None` where the bytes are none.
    pub(in crate::machine) fn decode(id: u32, bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let uuid = |at: usize| Some(Uuid(bytes.get(at..at + 16)?.try_into().ok()?));
        Some(Self {
            id,
            begun: number(0)?.cast_signed(),
            count: number(8)?,
            hashed: number(16)?,
            displaced: number(24)?,
            newest: uuid(32)?,
            floor: uuid(48)?,
        })
    }
}
