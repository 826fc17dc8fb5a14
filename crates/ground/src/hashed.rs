//! Young pairs that are looked for one by one, and never in their order before they are written:
//! those of filtered tables. They lie by their hash, short values in place, so that a new one costs
//! one step and no memory of its own.

use std::collections::hash_map::{self, HashMap};

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::Key;
use crate::block::Value;

/// The most bytes of a value that lies in place.
const SHORT_BYTES: usize = 14;

/// What a pair takes beside a long value: its place in the table, which is three quarters full.
pub(crate) const PLACE_BYTES: usize = 80;

/// A value.
#[derive(Debug, Clone)]
enum Held {
    Removed,
    Short { bytes: [u8; SHORT_BYTES], length: u8 },
    Long(Box<Bytes>),
}

/// A value, and whether anything older may have its key.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    held: Held,
    /// Nothing older has this key.
    pub(crate) is_new: bool,
}

/// Pairs by the hash of their keys.
#[derive(Debug, Default)]
pub(crate) struct Hashed(HashMap<Key, Row, RandomState>);

impl Row {
    pub(crate) fn new(value: Option<&[u8]>, is_new: bool) -> Self {
        let held = match value {
            None => Held::Removed,
            Some(value) => {
                let mut bytes = [0; SHORT_BYTES];
                match (bytes.get_mut(..value.len()), u8::try_from(value.len())) {
                    (Some(place), Ok(length)) => {
                        place.copy_from_slice(value);
                        Held::Short { bytes, length }
                    }
                    _ => Held::Long(Box::new(Bytes::copy_from_slice(value))),
                }
            }
        };
        Self { held, is_new }
    }

    /// The value; `None` where the key was removed.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        match &self.held {
            Held::Removed => None,
            Held::Short { bytes, length } => bytes.get(..usize::from(*length)),
            Held::Long(bytes) => Some(bytes),
        }
    }

    fn own(&self) -> Value {
        self.value().map(Bytes::copy_from_slice)
    }

    /// The memory that the pair takes.
    fn bytes(&self) -> usize {
        let long = if let Held::Long(bytes) = &self.held { bytes.len() } else { 0 };
        PLACE_BYTES + long
    }
}

impl Hashed {
    /// With room for as many pairs as the other one has.
    pub(crate) fn like(other: &Self) -> Self {
        Self(HashMap::with_capacity_and_hasher(other.0.len(), RandomState::default()))
    }

    /// Sets or removes a key, as [`Memory::apply`](crate::memory::Memory::apply) does; the bytes
    /// more and the bytes less that the pairs take now, and whether the key was there.
    pub(crate) fn set(&mut self, key: Key, value: Option<&[u8]>, is_new: bool) -> Set {
        let mut row = Row::new(value, is_new);
        let more = row.bytes();
        match self.0.entry(key) {
            hash_map::Entry::Vacant(place) => {
                place.insert(row);
                Set { more, less: 0, was_there: false }
            }
            hash_map::Entry::Occupied(place) if value.is_none() && place.get().is_new => {
                Set { more: 0, less: place.remove().bytes(), was_there: true }
            }
            hash_map::Entry::Occupied(mut place) => {
                row.is_new = place.get().is_new;
                Set { more, less: place.insert(row).bytes(), was_there: true }
            }
        }
    }

    /// The value of a key, or the mark that it was removed.
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key).map(Row::own)
    }

    /// Takes out all pairs from a key to before another one; their bytes, and how many of them
    /// older parts may have.
    pub(crate) fn take_between(&mut self, from: &Key, to: &Key) -> (usize, u64) {
        let (mut bytes, mut replacing) = (0, 0);
        self.0.retain(|key, row| {
            let goes = from <= key && key < to;
            if goes {
                bytes += row.bytes();
                replacing += u64::from(!row.is_new);
            }
            !goes
        });
        (bytes, replacing)
    }

    /// The pairs from a key to before another one, in their order.
    pub(crate) fn between(&self, from: &Key, to: &Key) -> Vec<(Key, Value)> {
        let rows = self.0.iter().filter(|(key, _)| from <= *key && *key < to);
        let mut pairs: Vec<_> = rows.map(|(key, row)| (*key, row.own())).collect();
        pairs.sort_unstable_by_key(|(key, _)| *key);
        pairs
    }

    /// All pairs, in their order.
    pub(crate) fn sorted(&self) -> Vec<(Key, &Row)> {
        let mut rows: Vec<_> = self.0.iter().map(|(key, row)| (*key, row)).collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        rows
    }
}

/// What setting a key did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Set {
    pub(crate) more: usize,
    pub(crate) less: usize,
    pub(crate) was_there: bool,
}
