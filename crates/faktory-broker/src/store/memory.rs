//! The store in memory, for tests of the machine.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Batch, Change, Key, Pair, Store, StoreError, Table, between};

type Pairs = BTreeMap<Key, Bytes>;

/// A store in ordered maps, with a copy of the state at the last sync. [`MemoryStore::crash`] goes
/// back to the copy.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pairs: Pairs,
    synced: Pairs,
    /// What a sync has to do in the copy.
    unsynced: Vec<Step>,
    /// So many of these steps are committed.
    committed: usize,
    number: u64,
    durable: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Change(Change),
    Clear,
}

impl Step {
    fn apply(self, pairs: &mut Pairs) {
        match self {
            Self::Change(Change::Put(key, value)) => {
                // A store may take advantage of it.
                let may_be_there = Table::of(&key) == Some(Table::Meta);
                assert!(may_be_there || !pairs.contains_key(&key), "{key} is there already");
                pairs.insert(key, value);
            }
            Self::Change(Change::Delete(key)) => drop(pairs.remove(&key)),
            Self::Change(Change::Floor(floor)) => {
                pairs.retain(|key, _| Table::of(key) != Table::of(&floor) || *key >= floor);
            }
            Self::Clear => pairs.clear(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Change(change) => change.bytes(),
            Self::Clear => 1,
        }
    }

    fn take(self, store: &mut MemoryStore) {
        self.clone().apply(&mut store.pairs);
        store.unsynced.push(self);
    }
}

impl MemoryStore {
    /// Forgets all changes since the last sync, as in a loss of power.
    pub fn crash(&mut self) {
        self.pairs = self.synced.clone();
        self.unsynced.clear();
        (self.committed, self.number) = (0, self.durable);
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, name: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.pairs.get(&table.key(name)).cloned())
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let Some((from, to)) = between(table, from, to) else { return Ok(Vec::new()) };
        let found = self.pairs.range(from..to).take(limit);
        Ok(found.map(|(key, value)| (*key, value.clone())).collect())
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        for change in batch.changes {
            Step::Change(change).take(self);
        }
        Ok(())
    }

    fn uncommitted_bytes(&self) -> usize {
        self.unsynced.iter().skip(self.committed).map(Step::bytes).sum()
    }

    fn commit(&mut self) -> Result<u64, StoreError> {
        if self.committed < self.unsynced.len() {
            self.committed = self.unsynced.len();
            self.number += 1;
        }
        Ok(self.number)
    }

    fn flush(&mut self) {
        let rest = self.unsynced.split_off(self.committed);
        for step in std::mem::replace(&mut self.unsynced, rest) {
            step.apply(&mut self.synced);
        }
        (self.committed, self.durable) = (0, self.number);
    }

    fn durable(&self) -> Result<u64, StoreError> {
        Ok(self.durable)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.commit()?;
        self.flush();
        Ok(())
    }

    fn replace_all(&mut self, batch: Batch) -> Result<(), StoreError> {
        Step::Clear.take(self);
        self.write(batch)
    }
}
