//! What the machine needs of a store: ordered keys, atomic batches that are visible at once, and a
//! sync that makes everything before it durable.

mod fjall;
mod memory;

pub use self::fjall::FjallStore;
pub use memory::MemoryStore;

/// A part of the store with an order of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Format, counters, queues.
    Meta,
    /// Jobs as they were pushed, by their number.
    Bodies,
    /// Waiting jobs, by queue and position.
    Queued,
    /// Scheduled, retried, dead and reserved jobs, by due time.
    Sets,
    /// The entries of the sets, by job id.
    Index,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 5] = [Self::Meta, Self::Bodies, Self::Queued, Self::Sets, Self::Index];

    /// Its name on disk.
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

/// One change in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Table, Vec<u8>),
}

/// Changes that happen all or not at all.
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

/// The store failed, or holds what this version does not understand. After a failed write or sync
/// nothing more may be answered: what reached the disk is not known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database reports a failure.
    #[error("the store failed: {0}")]
    Database(Box<dyn std::error::Error + Send + Sync>),
    /// Another process has the data folder open.
    #[error("another process uses it")]
    InUse,
    /// The data folder can't be made.
    #[error("it can't be made: {0}")]
    Folder(#[source] std::io::Error),
    /// The data folder was written in another format.
    #[error("the data folder has format {found}, this version reads format {expected}")]
    Format {
        /// What stands there.
        found: String,
        /// What this version writes.
        expected: u32,
    },
    /// A record can't be read.
    #[error("the store holds a record that can't be read: {0}")]
    Corrupt(&'static str),
}

/// One key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Ordered keys with atomic batches.
pub trait Store: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// Where the store fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` pairs from `from` (included) to `to` (excluded), in order.
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

    /// Applies a batch as a whole. It is visible at once, and durable after the next sync.
    ///
    /// # Errors
    /// Where the store fails; it is then of no more use.
    fn write(&mut self, batch: Batch) -> Result<(), StoreError>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Where the store fails; it is then of no more use.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Removes everything from a table.
    ///
    /// # Errors
    /// Where the store fails; it is then of no more use.
    fn clear(&mut self, table: Table) -> Result<(), StoreError>;
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
        store.clear(Table::Queued).unwrap();
        assert_eq!(store.range(Table::Queued, &[0], &[9], 10).unwrap(), []);
        assert_eq!(store.get(Table::Meta, b"m").unwrap(), Some(b"v".to_vec()));
    }

    #[test]
    fn both_stores_keep_the_same_promises() {
        check(&mut MemoryStore::default());
        let folder = tempfile::tempdir().unwrap();
        check(&mut FjallStore::open(folder.path()).unwrap());
    }

    #[test]
    fn what_was_synced_is_there_when_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = FjallStore::open(folder.path()).unwrap();
        let mut batch = Batch::default();
        batch.put(Table::Bodies, *b"k", *b"v");
        store.write(batch).unwrap();
        store.sync().unwrap();
        drop(store);
        let store = FjallStore::open(folder.path()).unwrap();
        assert_eq!(store.get(Table::Bodies, b"k").unwrap(), Some(b"v".to_vec()));
    }
}
