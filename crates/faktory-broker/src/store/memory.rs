//! The store in memory, for tests of the machine.

use std::collections::BTreeMap;

use super::{Batch, Change, Pair, Store, StoreError, Table};

type Tables = BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>;

/// A store in ordered maps, with a copy of the state at the last sync. [`MemoryStore::crash`] goes
/// back to the copy.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    tables: Tables,
    synced: Tables,
}

impl MemoryStore {
    /// Forgets all changes since the last sync, as in a loss of power.
    pub fn crash(&mut self) {
        self.tables = self.synced.clone();
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.get(&table).and_then(|pairs| pairs.get(key)).cloned())
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let Some(pairs) = self.tables.get(&table).filter(|_| from < to) else {
            return Ok(Vec::new());
        };
        let found = pairs.range(from.to_vec()..to.to_vec()).take(limit);
        Ok(found.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        for change in batch.changes {
            match change {
                Change::Put(table, key, value) => {
                    self.tables.entry(table).or_default().insert(key, value);
                }
                Change::Delete(table, key) => {
                    self.tables.entry(table).or_default().remove(&key);
                }
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.synced = self.tables.clone();
        Ok(())
    }

    fn clear(&mut self, table: Table) -> Result<(), StoreError> {
        self.tables.remove(&table);
        Ok(())
    }
}
