//! The part of the store that is in memory: what was changed since the last checkpoint. A key that
//! was new here and is removed here leaves nothing behind: a job that is done before the next
//! checkpoint never reaches a sorted file.

use std::collections::btree_map::{self, BTreeMap};

use crate::block::Value;
use crate::floors::Floors;
use crate::{Change, Key};

/// What a pair takes beside its value, in the tree and the allocator.
const PAIR_BYTES: usize = 128;

#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    /// Nothing older has this key.
    is_new: bool,
}

/// Changes, by key.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: BTreeMap<Key, Entry>,
    bytes: usize,
    /// The entries of keys that something older may have.
    replacing: u64,
    /// All floors. No entry is below one.
    floors: Floors,
}

impl Memory {
    /// Without changes, above these floors.
    pub(crate) fn above(floors: Floors) -> Self {
        Self { floors, ..Self::default() }
    }

    pub(crate) const fn floors(&self) -> &Floors {
        &self.floors
    }

    /// The memory that it takes, about, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The pairs that may replace an older one, or remove it.
    pub(crate) const fn replacing(&self) -> u64 {
        self.replacing
    }

    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Insert(key, _) | Change::Put(key, _) | Change::Remove(key)
                if self.floors.hides(&key) => {}
            Change::Insert(key, value) => self.set(key, Some(value), true),
            Change::Put(key, value) => self.set(key, Some(value), false),
            Change::Remove(key) => self.set(key, None, false),
            Change::Floor(key) => self.raise(key),
            Change::Clear => *self = Self::default(),
        }
    }

    /// Sets or removes a key. `is_new`: nothing older has it, unless it has an entry here that says
    /// otherwise.
    fn set(&mut self, key: Key, value: Value, is_new: bool) {
        let before = match self.entries.entry(key) {
            btree_map::Entry::Vacant(place) => {
                self.bytes += bytes_of(&value);
                self.replacing += u64::from(!is_new);
                place.insert(Entry { value, is_new });
                return;
            }
            btree_map::Entry::Occupied(place) if value.is_none() && place.get().is_new => {
                place.remove().value
            }
            btree_map::Entry::Occupied(mut place) => {
                self.bytes += bytes_of(&value);
                std::mem::replace(&mut place.get_mut().value, value)
            }
        };
        self.bytes = self.bytes.saturating_sub(bytes_of(&before));
    }

    fn raise(&mut self, floor: Key) {
        let Some(first) = floor.first_byte().and_then(|byte| Key::new(&[byte])) else { return };
        if !self.floors.raise(floor) {
            return;
        }
        let below: Vec<_> = self.entries.range(first..floor).map(|(key, _)| *key).collect();
        for gone in below.iter().filter_map(|key| self.entries.remove(key)) {
            self.bytes = self.bytes.saturating_sub(bytes_of(&gone.value));
            self.replacing -= u64::from(!gone.is_new);
        }
    }

    /// The value of a key, or the mark that it was removed; `None` where older parts say.
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    /// All pairs.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// The pairs from a key on.
    pub(crate) fn range(&self, from: &Key) -> MemoryRange<'_> {
        MemoryRange(self.entries.range(from..))
    }
}

/// The pairs from a key on.
pub(crate) struct MemoryRange<'a>(btree_map::Range<'a, Key, Entry>);

impl Iterator for MemoryRange<'_> {
    type Item = (Key, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, entry) = self.0.next()?;
        Some((*key, entry.value.clone()))
    }
}

fn bytes_of(value: &Value) -> usize {
    PAIR_BYTES + value.as_ref().map_or(0, bytes::Bytes::len)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_new_key_that_goes_leaves_nothing_and_an_old_one_a_mark() {
        let [a, b] = [b"a", b"b"].map(|text| Key::new(text).unwrap());
        let value = Bytes::from_static(b"value");
        let mut memory = Memory::default();
        memory.apply(Change::Insert(a, value.clone()));
        memory.apply(Change::Put(a, value.clone()));
        memory.apply(Change::Remove(a));
        assert!(memory.entries.is_empty() && memory.bytes() == 0);
        memory.apply(Change::Put(b, value.clone()));
        memory.apply(Change::Remove(b));
        assert_eq!(memory.get(&b), Some(None));
        memory.apply(Change::Insert(b, value));
        memory.apply(Change::Remove(b));
        assert_eq!(memory.get(&b), Some(None));
        assert_eq!((memory.bytes(), memory.replacing()), (PAIR_BYTES, 1));
    }

    #[test]
    fn what_is_below_a_floor_goes_and_does_not_come_again() {
        let [a, b1, b2] = ["a", "b1", "b2"].map(|text| Key::new(text.as_bytes()).unwrap());
        let value = Bytes::from_static(b"value");
        let mut memory = Memory::default();
        for key in [a, b1] {
            memory.apply(Change::Put(key, value.clone()));
        }
        memory.apply(Change::Floor(b2));
        for change in [Change::Put(b1, value.clone()), Change::Insert(b1, value.clone())] {
            memory.apply(change);
        }
        memory.apply(Change::Remove(b1));
        memory.apply(Change::Floor(b1));
        assert_eq!((memory.get(&b1), memory.get(&a)), (None, Some(Some(value.clone()))));
        assert_eq!((memory.bytes(), memory.replacing()), (PAIR_BYTES + 5, 1));
        memory.apply(Change::Clear);
        memory.apply(Change::Insert(b1, value.clone()));
        assert_eq!(memory.get(&b1), Some(Some(value)));
    }
}
