//! The store, as the machine needs it: ordered keys, atomic batches that are visible at once, and a
//! sync that makes all earlier batches durable. The keys and values are in `STORE.md`.

mod ground;
mod memory;
mod old;
mod private;

pub use self::ground::{GroundStore, STORE_FILES_MAX};
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
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 5] = [Self::Meta, Self::Bodies, Self::Queued, Self::Sets, Self::Index];

    /// The name of the table on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Bodies => "bodies",
            Self::Queued => "queued",
            Self::Sets => "sets",
            Self::Index => "index",
        }
    }
}

/// A change in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Table, Vec<u8>),
}

/// Changes that are written together: after a crash, the store holds all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The changes, in order.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push(Change::Put(table, key.into(), value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push(Change::Delete(table, key.into()));
    }
}

/// The reason why a store failed or can't be read. After a failed write or sync no command may be
/// answered, because it is unknown which changes reached the disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(Box<dyn std::error::Error + Send + Sync>),
    /// Another process has the data folder open.
    #[error("another process uses the folder")]
    InUse,
    /// The data folder can't be made.
    #[error("the folder can't be made: {0}")]
    Folder(#[source] std::io::Error),
    /// The data folder was written in another format.
    #[error("the data folder has format {found}, this version reads format {expected}")]
    Format {
        /// The version in the folder.
        found: String,
        /// The version that this program reads and writes.
        expected: u32,
    },
    /// A record can't be read.
    #[error("the store holds a record that can't be read: {0}")]
    Corrupt(&'static str),
}

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// A store of ordered keys with atomic batches.
pub trait Store: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// Where the store fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` pairs from `from` (included) to `to` (excluded), in the order of their keys.
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

    /// Applies a batch as a whole. The changes are visible at once, and durable after the next
    /// sync.
    ///
    /// # Errors
    /// Where the store fails; the store can't be used any more.
    fn write(&mut self, batch: Batch) -> Result<(), StoreError>;

    /// Makes sure that all earlier batches survive the end of this process.
    ///
    /// # Errors
    /// Where the store fails; the store can't be used any more.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Makes all earlier batches durable.
    ///
    /// # Errors
    /// Where the store fails; the store can't be used any more.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Says that nothing is written for a while: what is durable is noted in a second place, so
    /// that a damaged end is noticed at the next start. Returns at once.
    fn rest(&mut self) {}

    /// Removes all keys of all tables, and applies a batch, as a whole.
    ///
    /// # Errors
    /// Where the store fails; the store can't be used any more.
    fn replace_all(&mut self, batch: Batch) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(store: &mut dyn Store) {
        let mut batch = Batch::default();
        for key in [3_u8, 1, 2] {
            batch.put(Table::Queued, [key], [key, key]);
        }
        batch.put(Table::Meta, *b"m", *b"v");
        batch.delete(Table::Queued, [2]);
        store.write(batch).unwrap();
        store.sync().unwrap();
        assert_eq!(store.get(Table::Queued, &[1]).unwrap(), Some(vec![1, 1]));
        assert_eq!(store.get(Table::Queued, &[2]).unwrap(), None);
        let pairs = store.range(Table::Queued, &[0], &[9], 10).unwrap();
        assert_eq!(pairs, [(vec![1], vec![1, 1]), (vec![3], vec![3, 3])]);
        assert_eq!(store.range(Table::Queued, &[0], &[9], 1).unwrap().len(), 1);
        assert_eq!(store.range(Table::Queued, &[3], &[3], 1).unwrap().len(), 0);
        let mut batch = Batch::default();
        batch.put(Table::Meta, *b"n", *b"w");
        store.replace_all(batch).unwrap();
        assert_eq!(store.range(Table::Queued, &[0], &[9], 10).unwrap(), []);
        assert_eq!(store.get(Table::Meta, b"m").unwrap(), None);
        assert_eq!(store.get(Table::Meta, b"n").unwrap(), Some(b"w".to_vec()));
    }

    #[test]
    fn both_stores_pass_the_same_check() {
        check(&mut MemoryStore::default());
        let folder = tempfile::tempdir().unwrap();
        check(&mut GroundStore::open(folder.path()).unwrap());
    }

    #[test]
    fn a_synced_batch_is_there_when_the_store_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = GroundStore::open(folder.path()).unwrap();
        let mut batch = Batch::default();
        batch.put(Table::Bodies, *b"k", *b"v");
        store.write(batch).unwrap();
        store.sync().unwrap();
        drop(store);
        let store = GroundStore::open(folder.path()).unwrap();
        assert_eq!(store.get(Table::Bodies, b"k").unwrap(), Some(b"v".to_vec()));
    }

    #[test]
    fn a_store_of_an_earlier_version_is_carried_over_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut pairs = Vec::new();
        for table in Table::ALL {
            for number in 0..2500_u32 {
                pairs.push((table, number.to_be_bytes().to_vec(), vec![7; 100]));
            }
        }
        old::write(folder.path(), &pairs);
        for _ in 0..2 {
            let store = GroundStore::open(folder.path()).unwrap();
            for table in Table::ALL {
                let found = store.range(table, &[], &[0xFF; 9], usize::MAX).unwrap();
                let expected = pairs.iter().filter(|(of, ..)| *of == table);
                let expected: Vec<_> =
                    expected.map(|(_, key, value)| (key.clone(), value.clone())).collect();
                assert_eq!(found, expected);
            }
        }
        // What a carrying over left that a crash ended is no store.
        std::fs::rename(folder.path().join("store"), folder.path().join("store.new")).unwrap();
        let mut store = GroundStore::open(folder.path()).unwrap();
        assert_eq!(store.get(Table::Meta, &[0; 4]).unwrap(), Some(vec![7; 100]));
        let mut batch = Batch::default();
        batch.delete(Table::Meta, [0; 4]);
        store.write(batch).unwrap();
        store.sync().unwrap();
        drop(store);
        let store = GroundStore::open(folder.path()).unwrap();
        assert_eq!(store.get(Table::Meta, &[0; 4]).unwrap(), None);
    }
}
