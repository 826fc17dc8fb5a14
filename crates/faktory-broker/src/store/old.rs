//! The store of earlier versions, in fjall: it is read once, and carried over.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::{StoreError, Table};

const FOLDER: &str = "fjall";
/// The tables that it has.
pub(super) const TABLES: [Table; 5] =
    [Table::Meta, Table::Bodies, Table::Queued, Table::Sets, Table::Index];

/// A name in a table, and its value.
pub(super) type OldPair = (Vec<u8>, Vec<u8>);

/// The store of an earlier version. Only one process at a time can open a folder.
pub(super) struct OldStore {
    folder: PathBuf,
    database: Database,
}

impl OldStore {
    /// True where the data folder has such a store.
    pub(super) fn is_in(folder: &Path) -> bool {
        folder.join(FOLDER).is_dir()
    }

    /// When a file of it was last written; `None` where that can't be read.
    pub(super) fn last_written(folder: &Path) -> Option<SystemTime> {
        let mut folders = vec![folder.join(FOLDER)];
        let mut last = None;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).ok()?.flatten() {
                let metadata = entry.metadata().ok()?;
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    last = last.max(metadata.modified().ok());
                }
            }
        }
        last
    }

    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let folder = folder.join(FOLDER);
        let database = Database::builder(&folder).open()?;
        Ok(Self { folder, database })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn keyspace(&self, table: Table) -> Result<Keyspace, StoreError> {
        Ok(self.database.keyspace(table.name(), KeyspaceCreateOptions::default)?)
    }

    /// Up to `limit` pairs of a table from a key on.
    pub(super) fn pairs(
        &self,
        table: Table,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<OldPair>, StoreError> {
        let pairs = self.keyspace(table)?.range(from..).take(limit);
        pairs
            .map(|guard| {
                Ok(guard.into_inner().map(|(key, value)| (key.to_vec(), value.to_vec()))?)
            })
            .collect()
    }
}

/// Writes a store of an earlier version, for tests.
#[cfg(test)]
pub(super) fn write(folder: &Path, pairs: &[(Table, Vec<u8>, Vec<u8>)]) {
    let old = OldStore::open(folder).unwrap();
    for (table, key, value) in pairs {
        old.keyspace(*table).unwrap().insert(key, value).unwrap();
    }
    old.database.persist(fjall::PersistMode::SyncAll).unwrap();
}
