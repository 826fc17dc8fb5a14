//! The store, as the machine needs it: ordered keys, atomic batches that are visible at once, and a
//! sync that makes all earlier batches durable. The keys and values are in `STORE.md`.

mod error;
pub(crate) mod format;
mod ground;
mod memory;
mod old;
mod private;

pub(crate) use ::ground::Key;
use bytes::Bytes;

pub use self::error::StoreError;
pub use self::ground::{GroundStore, STORE_FILES_MAX};
pub(crate) use self::ground::{folder_of, in_use, make};
pub use memory::MemoryStore;

/// A table of the store: keys in an order of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The format version, the counters, and the queues.
    Meta,
    /// The bodies of jobs, by job number.
    Bodies,
    /// The entries of waiting jobs, by queue and position.
    Queued,
    /// The entries of scheduled, retried, dead and reserved jobs, by due time.
    Sets,
    /// The due times of the entries in the sets, by job id.
    Index,
    /// Remembered ids of jobs that begin with a time, in its order.
    Ids,
    /// Other remembered ids, by the generation in which they were pushed and their hash.
    OtherIds,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 7] = [
        Self::Meta,
        Self::Bodies,
        Self::Queued,
        Self::Sets,
        Self::Index,
        Self::Ids,
        Self::OtherIds,
    ];

    /// The first bytes of the keys that are mostly looked for in vain.
    pub(crate) const LETTERS_OF_IDS: &[u8] = b"io";

    /// The name of the table on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Bodies => "bodies",
            Self::Queued => "queued",
            Self::Sets => "sets",
            Self::Index => "index",
            Self::Ids => "ids",
            Self::OtherIds => "other ids",
        }
    }

    const fn letter(self) -> u8 {
        match self {
            Self::Meta => b'm',
            Self::Bodies => b'b',
            Self::Queued => b'q',
            Self::Sets => b's',
            Self::Index => b'x',
            Self::Ids => b'i',
            Self::OtherIds => b'o',
        }
    }

    /// The table of a key.
    pub(crate) fn of(key: &Key) -> Option<Self> {
        let letter = *key.as_slice().first()?;
        Self::ALL.into_iter().find(|table| table.letter() == letter)
    }

    /// The key of a name in this table: the letter of the table, and the name. Of a name that is
    /// longer than [`Table::NAME_BYTES_MAX`] the rest is left out, which only the end of a range
    /// may be.
    pub(crate) fn key(self, name: impl AsRef<[u8]>) -> Key {
        let mut bytes = [self.letter(); ::ground::KEY_BYTES_MAX];
        let mut length = 1;
        for (place, byte) in bytes.iter_mut().skip(1).zip(name.as_ref()) {
            *place = *byte;
            length += 1;
        }
        bytes.get(..length).and_then(Key::new).unwrap_or(Key::LAST)
    }

    /// The most bytes in a name.
    pub(crate) const NAME_BYTES_MAX: usize = ::ground::KEY_BYTES_MAX - 1;
}

/// The keys between two names of a table, as the ends of a range; `None` where there is none.
fn between(table: Table, from: &[u8], to: &[u8]) -> Option<(Key, Key)> {
    let (from, to) = (table.key(from), table.key(to));
    (from < to).then_some((from, to))
}

/// The name in a key, without the letter of its table.
pub(crate) fn name_of(key: &Key) -> &[u8] {
    key.as_slice().get(1..).unwrap_or_default()
}

/// A change in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Key, Bytes),
    /// Removes a key.
    Delete(Key),
    /// Removes all keys of a table that are less than this one. None of them is put again.
    Floor(Key),
}

impl Change {
    /// The bytes of its key and value.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put(key, value) => key.as_slice().len() + value.len(),
            Self::Delete(key) | Self::Floor(key) => key.as_slice().len(),
        }
    }
}

/// Changes that are written together: after a crash, the store holds all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The changes, in order.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, table: Table, name: impl AsRef<[u8]>, value: impl Into<Bytes>) {
        self.changes.push(Change::Put(table.key(name), value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, name: impl AsRef<[u8]>) {
        self.changes.push(Change::Delete(table.key(name)));
    }

    /// Removes all keys of a table that are less than this one, however many they are.
    pub fn floor(&mut self, table: Table, name: impl AsRef<[u8]>) {
        self.changes.push(Change::Floor(table.key(name)));
    }
}

/// What of a store is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetAside {
    /// Blocks whose keys are missing.
    pub blocks: u64,
    /// Files that have such a block, or can't be read: they keep the room that they take.
    pub files: u64,
}

/// A key and its value.
pub(crate) type Pair = (Key, Bytes);

/// A store of ordered keys with atomic batches.
pub trait Store: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// Where the store fails.
    fn get(&self, table: Table, name: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Up to `limit` pairs of a table from `from` (included) to `to` (excluded), in the order of
    /// their keys.
    ///
    /// # Errors
    /// Where the store fails.
    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError>;

    /// Applies a batch as a whole. The changes are visible at once, belong to the next commit, and
    /// are durable when that is.
    ///
    /// # Errors
    /// Where the store fails; the store can't be used any more.
    fn write(&mut self, batch: Batch) -> Result<(), StoreError>;

    /// Applies one change, as [`Store::write`] does.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn change(&mut self, change: Change) -> Result<(), StoreError> {
        self.write(Batch { changes: vec![change] })
    }

    /// Sets a key that has no value to a short one, as [`Store::change`] does.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn insert(&mut self, table: Table, name: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.change(Change::Put(table.key(name), Bytes::copy_from_slice(value)))
    }

    /// The bytes that the next commit has to write, about.
    fn uncommitted_bytes(&self) -> usize;

    /// Writes all batches since the last commit as one record; its number, or that of the last one
    /// where there is nothing to write. The batches survive the end of this process from now on:
    /// after a crash of the system, the store holds all batches of a commit or none.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] where nothing was written and it may be tried again. Otherwise the
    /// store has failed, and can't be used any more.
    fn commit(&mut self) -> Result<u64, StoreError>;

    /// Asks that everything committed becomes durable. Returns at once.
    fn flush(&mut self);

    /// The number up to which everything committed is durable.
    ///
    /// # Errors
    /// Where the store has failed. What was not durable before never becomes so.
    fn durable(&self) -> Result<u64, StoreError>;

    /// True where somebody else makes records durable, so that [`Store::sync`] can only wait.
    fn is_distant(&self) -> bool {
        false
    }

    /// Commits, and makes everything durable before it returns.
    ///
    /// # Errors
    /// As [`Store::commit`] and [`Store::durable`].
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Says that nothing is written for a while: what is durable is noted in a second place, so
    /// that a damaged end is noticed at the next start. Returns at once.
    fn rest(&mut self) {}

    /// Makes everything durable and the next start quick. Nothing can be written afterwards.
    ///
    /// # Errors
    /// As [`Store::sync`].
    fn close(&mut self) -> Result<(), StoreError> {
        self.sync()
    }

    /// The bytes that are free where the store is; `None` where that is not known.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// What was found not to be what was written, since the store was opened.
    fn set_aside(&self) -> SetAside {
        SetAside::default()
    }

    /// Removes all keys of all tables, and applies a batch, as a whole.
    ///
    /// # Errors
    /// Where the store fails; the store can't be used any more.
    fn replace_all(&mut self, batch: Batch) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn check(store: &mut dyn Store) {
        let mut batch = Batch::default();
        for key in [3_u8, 1, 2] {
            batch.put(Table::Queued, [key], vec![key, key]);
        }
        batch.put(Table::Meta, b"m", "v");
        batch.delete(Table::Queued, [2]);
        store.write(batch).unwrap();
        store.sync().unwrap();
        assert_eq!(store.get(Table::Queued, &[1]).unwrap(), Some(vec![1, 1].into()));
        assert_eq!(store.get(Table::Queued, &[2]).unwrap(), None);
        let pairs = store.range(Table::Queued, &[0], &[9], 10).unwrap();
        let expected = [1, 3].map(|key| (Table::Queued.key([key]), vec![key, key].into()));
        assert_eq!(pairs, expected);
        assert_eq!(store.range(Table::Queued, &[0], &[9], 1).unwrap().len(), 1);
        assert_eq!(store.range(Table::Queued, &[3], &[3], 1).unwrap().len(), 0);
        let mut batch = Batch::default();
        batch.put(Table::Meta, b"n", "w");
        store.replace_all(batch).unwrap();
        assert_eq!(store.range(Table::Queued, &[0], &[9], 10).unwrap(), []);
        assert_eq!(store.get(Table::Meta, b"m").unwrap(), None);
        assert_eq!(store.get(Table::Meta, b"n").unwrap(), Some("w".into()));
    }

    #[test]
    fn both_stores_pass_the_same_check() {
        check(&mut MemoryStore::default());
        let folder = tempfile::tempdir().unwrap();
        check(&mut GroundStore::open(folder.path(), Arc::new(|| {})).unwrap());
    }

    #[test]
    fn a_synced_batch_is_there_when_the_store_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        let mut batch = Batch::default();
        batch.put(Table::Bodies, b"k", "v");
        store.write(batch).unwrap();
        store.sync().unwrap();
        drop(store);
        let store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        assert_eq!(store.get(Table::Bodies, b"k").unwrap(), Some("v".into()));
    }

    /// What a machine did whose counters are not written yet: it must not come to light.
    #[test]
    fn what_was_not_committed_is_gone_with_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        for name in [b"k", b"l"] {
            let mut batch = Batch::default();
            batch.put(Table::Bodies, name, "v");
            store.write(batch).unwrap();
            if name == b"k" {
                store.commit().unwrap();
            }
        }
        drop(store);
        let store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        assert_eq!(store.get(Table::Bodies, b"k").unwrap(), Some("v".into()));
        assert_eq!(store.get(Table::Bodies, b"l").unwrap(), None);
    }

    #[test]
    fn a_store_of_an_earlier_version_is_carried_over_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut pairs = Vec::new();
        for table in old::TABLES {
            for number in 0..2500_u32 {
                pairs.push((table, number.to_be_bytes().to_vec(), vec![7; 100]));
            }
        }
        old::write(folder.path(), &pairs);
        for _ in 0..2 {
            let store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
            for table in old::TABLES {
                let found = store.range(table, &[], &[0xFF; 9], usize::MAX).unwrap();
                let expected = pairs.iter().filter(|(of, ..)| *of == table);
                let expected: Vec<_> = expected
                    .map(|(_, key, value)| (table.key(key), value.clone().into()))
                    .collect();
                assert_eq!(found, expected);
            }
        }
        // What a carrying over left that a crash ended is no store.
        std::fs::rename(folder.path().join("store"), folder.path().join("store.new")).unwrap();
        let mut store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        assert_eq!(store.get(Table::Meta, &[0; 4]).unwrap(), Some(vec![7; 100].into()));
        let mut batch = Batch::default();
        batch.delete(Table::Meta, [0; 4]);
        store.write(batch).unwrap();
        store.sync().unwrap();
        drop(store);
        let store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        assert_eq!(store.get(Table::Meta, &[0; 4]).unwrap(), None);
    }
}
