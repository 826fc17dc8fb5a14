//! FLUSH: everything is deleted, in one write.

use faktory_wire::Reply;

use super::records::Counters;
use super::{Machine, keys};
use crate::store::{Batch, Store, StoreError, Table, format};

impl Machine {
    /// Deletes all jobs, queues and pauses. The counters of numbers go on, so that no number is
    /// given out twice.
    pub(super) fn flush(&mut self, store: &mut dyn Store) -> Result<Reply, StoreError> {
        self.counters = emptied(self.counters);
        empty(store, self.counters)?;
        self.queues.clear();
        self.returned.clear();
        self.trash.clear();
        self.timers.clear();
        self.remembered.forget_all();
        self.touched = None;
        self.unsynced = true;
        Ok(Reply::OK)
    }
}

/// The counters of a store without jobs.
pub(super) fn emptied(counters: Counters) -> Counters {
    let Counters { next, next_queue, .. } = counters;
    Counters { next, next_queue, ..Counters::default() }
}

/// Deletes everything but the format and the counters.
pub(super) fn empty(store: &mut dyn Store, counters: Counters) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    batch.put(Table::Meta, format::KEY, format::VERSION.to_be_bytes().to_vec());
    batch.put(Table::Meta, keys::COUNTERS_KEY, counters.encode());
    store.replace_all(batch)
}
