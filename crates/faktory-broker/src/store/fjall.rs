//! The store on disk: fjall, a log-structured merge tree with a journal. The measurement of fjall
//! against redb is in `docs/decisions/0008-fjall-for-the-brokers-store.md`.

use std::path::Path;

use faktory_wire::Excerpt;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::private;
use super::{Batch, Change, Pair, Store, StoreError, Table};

/// The size at which fjall writes a table in memory to disk. A sync waits while such a table is
/// written, so a large table causes a pause. After three million jobs, the 99th percentile of
/// single posts was 929 ms with fjall's default of 64 MiB and 294 ms with 8 MiB, at the same rate
/// (measured).
const MEMTABLE_BYTES: u64 = 8 << 20;

/// The files that fjall keeps open to read them again. fjall's own number is 900, which leaves
/// clients nothing of a limit of 1,024.
const CACHED_FILES: usize = 128;

/// The most files that the store holds open. Beside those above, fjall opens the files that it
/// writes and merges, and its journals. During two gigabytes of writes with reads and merges beside
/// them, 15 were open at the most (measured); with more data more are read again, up to the number
/// above. The rest is a reserve for merges.
pub const STORE_FILES_MAX: usize = 256;

/// The store on disk. Only one process at a time can open a folder.
pub struct FjallStore {
    database: Database,
    meta: Keyspace,
    bodies: Keyspace,
    queued: Keyspace,
    sets: Keyspace,
    index: Keyspace,
}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::InUse,
            error => Self::Database(Box::new(error)),
        }
    }
}

impl FjallStore {
    /// Opens the store in this folder. The store is made where there is none. Only the user of this
    /// process may read it: rights of others are taken away, or warned of where they can't be.
    ///
    /// # Errors
    /// Where the folder can't be used, or another process uses it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        // fjall makes files that every user may read: the folder around them is closed first.
        let place = folder.join("fjall");
        private::create_folder(&place).map_err(StoreError::Folder)?;
        if let Err(error) = private::tighten(folder, &place) {
            tracing::warn!(
                error = %Excerpt(error),
                "other users of this machine may be able to read the jobs: the rights of a file \
                 can't be changed; its owner can, by chmod -R go= on the data folder"
            );
        }
        let database = Database::builder(place).max_cached_files(Some(CACHED_FILES)).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = |table: Table| database.keyspace(table.name(), options);
        Ok(Self {
            meta: keyspace(Table::Meta)?,
            bodies: keyspace(Table::Bodies)?,
            queued: keyspace(Table::Queued)?,
            sets: keyspace(Table::Sets)?,
            index: keyspace(Table::Index)?,
            database,
        })
    }

    const fn keyspace(&self, table: Table) -> &Keyspace {
        match table {
            Table::Meta => &self.meta,
            Table::Bodies => &self.bodies,
            Table::Queued => &self.queued,
            Table::Sets => &self.sets,
            Table::Index => &self.index,
        }
    }
}

impl Store for FjallStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.keyspace(table).get(key)?.map(|value| value.to_vec()))
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let pairs = self.keyspace(table).range(from..to).take(limit);
        pairs
            .map(|guard| {
                Ok(guard.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec()))?)
            })
            .collect()
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        let mut writes = self.database.batch();
        for change in batch.changes {
            match change {
                Change::Put(table, key, value) => writes.insert(self.keyspace(table), key, value),
                Change::Delete(table, key) => writes.remove(self.keyspace(table), key),
            }
        }
        Ok(writes.commit()?)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn clear(&mut self, table: Table) -> Result<(), StoreError> {
        Ok(self.keyspace(table).clear()?)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// The open files of this process in a folder.
    fn open_files(folder: &Path) -> usize {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        files
            .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
            .filter(|target| target.starts_with(folder))
            .count()
    }

    /// Enough for some tables to be written to disk and merged.
    const WRITTEN: u64 = 60 << 20;

    #[test]
    fn the_store_keeps_fewer_files_open_than_are_kept_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let mut store = FjallStore::open(&path).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let (mut most, mut written) = (0, 0);
        while written < WRITTEN {
            let mut batch = Batch::default();
            for table in Table::ALL {
                // Keys that lie everywhere.
                let mut value = vec![0; 60_000];
                random.fill(&mut value);
                written += value.len() as u64;
                batch.changes.push(Change::Put(table, random.u64(..).to_be_bytes().into(), value));
            }
            store.write(batch).unwrap();
            if random.u8(..16) == 0 {
                for table in Table::ALL {
                    let key = random.u64(..).to_be_bytes();
                    store.range(table, &key, &[0xFF; 9], 1).unwrap();
                }
                store.sync().unwrap();
                most = most.max(open_files(&path));
            }
        }
        most = most.max(open_files(&path));
        assert!((1..=STORE_FILES_MAX).contains(&most), "{most}");
    }
}
