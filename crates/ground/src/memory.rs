//! The part of the store that is in memory: what was changed since the last checkpoint. A key that
//! was new here and is removed here leaves nothing behind: a job that is done before the next
//! checkpoint never reaches a sorted file.

use std::collections::btree_map::{self, BTreeMap};
use std::iter::Peekable;

use crate::block::Value;
use crate::floors::Floors;
use crate::hashed::{Hashed, Set};
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
    /// The entries of filtered tables.
    hashed: Hashed,
    /// The first bytes of their keys.
    filtered: &'static [u8],
    bytes: usize,
    /// The entries of keys that something older may have.
    replacing: u64,
    /// All floors. No entry is below one.
    floors: Floors,
}

impl Memory {
    /// Without changes, above these floors.
    pub(crate) fn above(floors: Floors, filtered: &'static [u8]) -> Self {
        Self { floors, filtered, ..Self::default() }
    }

    /// The one that follows: without changes, above the same floors.
    pub(crate) fn next(&self) -> Self {
        let hashed = Hashed::like(&self.hashed);
        Self { hashed, ..Self::above(self.floors.clone(), self.filtered) }
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
            Change::Clear => *self = Self::above(Floors::default(), self.filtered),
        }
    }

    /// Sets or removes a key. `is_new`: nothing older has it, unless it has an entry here that says
    /// otherwise.
    fn set(&mut self, key: Key, value: Value, is_new: bool) {
        if self.is_hashed(&key) {
            return self.set_hashed(key, value.as_deref(), is_new);
        }
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

    /// As [`Change::Insert`], of a value that is copied.
    pub(crate) fn insert(&mut self, key: Key, value: &[u8]) {
        if self.floors.hides(&key) {
            return;
        }
        if self.is_hashed(&key) {
            self.set_hashed(key, Some(value), true);
        } else {
            self.set(key, Some(bytes::Bytes::copy_from_slice(value)), true);
        }
    }

    fn is_hashed(&self, key: &Key) -> bool {
        key.first_byte().is_some_and(|byte| self.filtered.contains(&byte))
    }

    fn set_hashed(&mut self, key: Key, value: Option<&[u8]>, is_new: bool) {
        let Set { more, less, was_there } = self.hashed.set(key, value, is_new);
        self.bytes = (self.bytes + more).saturating_sub(less);
        self.replacing += u64::from(!is_new && !was_there);
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
        if self.is_hashed(&floor) {
            let (bytes, replacing) = self.hashed.take_between(&first, &floor);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.replacing -= replacing;
        }
    }

    /// The value of a key, or the mark that it was removed; `None` where older parts say.
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        if self.is_hashed(key) {
            return self.hashed.get(key);
        }
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    /// Hands out all pairs, in the order of their keys.
    pub(crate) fn each<E>(
        &self,
        mut take: impl FnMut(&Key, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let hashed = self.hashed.sorted();
        let mut hashed = hashed.iter().peekable();
        for (key, entry) in &self.entries {
            while let Some((before, row)) = hashed.next_if(|(other, _)| other < key) {
                take(before, row.value())?;
            }
            take(key, entry.value.as_deref())?;
        }
        hashed.try_for_each(|(key, row)| take(key, row.value()))
    }

    /// The pairs from a key to before another one, and maybe more behind them.
    pub(crate) fn range(&self, from: &Key, to: &Key) -> MemoryRange<'_> {
        let may_have = |byte: &u8| {
            let begins = Key::new(&[*byte]).unwrap_or(Key::LAST);
            begins < *to && from.first_byte() <= Some(*byte)
        };
        let hashed = match self.filtered.iter().any(may_have) {
            true => self.hashed.between(from, to),
            false => Vec::new(),
        };
        MemoryRange {
            entries: self.entries.range(from..).peekable(),
            hashed: hashed.into_iter().peekable(),
        }
    }
}

/// The pairs from a key on.
pub(crate) struct MemoryRange<'a> {
    entries: Peekable<btree_map::Range<'a, Key, Entry>>,
    hashed: Peekable<std::vec::IntoIter<(Key, Value)>>,
}

impl Iterator for MemoryRange<'_> {
    type Item = (Key, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.peek().map(|(key, _)| **key);
        if let Some(pair) = self.hashed.next_if(|(key, _)| entry.is_none_or(|entry| *key < entry)) {
            return Some(pair);
        }
        let (key, entry) = self.entries.next()?;
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

    /// Whatever is done to keys of a filtered table and of another one, both say the same.
    #[test]
    fn a_filtered_table_is_as_any_other() {
        let key = |table: u8, number: u8| Key::new(&[table, number]).unwrap();
        let mut memory = Memory::above(Floors::default(), b"f");
        let mut random = fastrand::Rng::with_seed(3);
        for step in 0..5000_u32 {
            let (number, kind) = (random.u8(..40), random.u8(..40));
            let value = Bytes::from(vec![number; random.usize(..20)]);
            for table in [b'f', b'g'] {
                let key = key(table, number);
                match kind {
                    0 if step % 8 == 0 => memory.apply(Change::Clear),
                    0 => memory.apply(Change::Floor(key)),
                    1..10 => memory.apply(Change::Remove(key)),
                    10..20 => memory.apply(Change::Put(key, value.clone())),
                    20..30 => memory.apply(Change::Insert(key, value.clone())),
                    _ => memory.insert(key, &value),
                }
            }
            let of = |table: u8| {
                let pairs = memory.range(&key(table, 0), &key(table, 99));
                let pairs = pairs.take_while(|(key, _)| key.first_byte() == Some(table));
                pairs.map(|(key, value)| (key.as_slice()[1], value)).collect::<Vec<_>>()
            };
            assert_eq!(of(b'f'), of(b'g'));
            let one = |table| memory.get(&key(table, number));
            assert_eq!(one(b'f'), one(b'g'));
        }
        memory.apply(Change::Clear);
        let mut keys: Vec<_> =
            (0..40).map(|number| key([b'e', b'f', b'g'][number % 3], 9)).collect();
        for (number, key) in keys.iter_mut().enumerate() {
            *key = Key::new(&[key.as_slice()[0], random.u8(..), number as u8]).unwrap();
            memory.insert(*key, b"value");
        }
        keys.sort_unstable();
        let mut all = Vec::new();
        let take = |key: &Key, value: Option<&[u8]>| {
            assert_eq!(value, Some(&b"value"[..]));
            all.push(*key);
            Ok::<_, ()>(())
        };
        memory.each(take).unwrap();
        assert_eq!(all, keys);
        assert_eq!(
            memory.range(&Key::FIRST, &Key::LAST).map(|(key, _)| key).collect::<Vec<_>>(),
            keys
        );
        assert_eq!(memory.next().bytes(), 0);
    }
}
