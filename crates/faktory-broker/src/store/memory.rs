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
    /// What a sync has to do in the copy.
    unsynced: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Change(Change),
    Clear,
}

impl Step {
    fn apply(self, tables: &mut Tables) {
        match self {
            Self::Change(Change::Put(table, key, value)) => {
                // A store may take advantage of it.
                assert!(
                    table == Table::Meta
                        || tables.get(&table).is_none_or(|pairs| !pairs.contains_key(&key)),
                    "{table:?} has {key:?} already"
                );
                tables.entry(table).or_default().insert(key, value);
            }
            Self::Change(Change::Delete(table, key)) => {
                tables.entry(table).or_default().remove(&key);
            }
            Self::Clear => tables.clear(),
        }
    }

    fn take(self, store: &mut MemoryStore) {
        self.clone().apply(&mut store.tables);
        store.unsynced.push(self);
    }
}

impl MemoryStore {
    /// Forgets all changes since the last sync, as in a loss of power.
    pub fn crash(&mut self) {
        self.tables = self.synced.clone();
        self.unsynced.clear();
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
            Step::Change(change).take(self);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        for step in std::mem::take(&mut self.unsynced) {
            step.apply(&mut self.synced);
        }
        Ok(())
    }

    fn replace_all(&mut self, batch: Batch) -> Result<(), StoreError> {
        Step::Clear.take(self);
        self.write(batch)
    }
}
