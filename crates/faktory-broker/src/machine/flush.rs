//! FLUSH: everything is deleted, in several steps that survive a crash.

use faktory_wire::Reply;

use super::records::Counters;
use super::{Machine, keys};
use crate::store::{Batch, Store, StoreError, Table};

impl Machine {
    /// Deletes all jobs, queues and pauses. The counters of numbers go on, so that no number is
    /// given out twice.
    pub(super) fn flush(&mut self, store: &mut dyn Store) -> Result<Reply, StoreError> {
        let mut batch = Batch::default();
        self.counters = Counters {
            next: self.counters.next,
            next_queue: self.counters.next_queue,
            ..Counters::default()
        };
        batch.put(Table::Meta, keys::COUNTERS_KEY, self.counters.encode());
        batch.put(Table::Meta, keys::FLUSHING_KEY, []);
        store.write(batch)?;
        // Several steps follow. The mark tells the next start of a crash between them.
        store.sync()?;
        empty(store)?;
        self.queues.clear();
        self.returned.clear();
        self.trash.clear();
        self.timers.clear();
        self.unsynced = true;
        Ok(Reply::OK)
    }
}

/// Deletes everything but the format and the counters; the mark of the FLUSH goes last.
pub(super) fn empty(store: &mut dyn Store) -> Result<(), StoreError> {
    // The index goes first, so that a crash leaves no index entry without its job.
    for table in [Table::Index, Table::Queued, Table::Sets, Table::Bodies] {
        store.clear(table)?;
    }
    let mut batch = Batch::default();
    for (from, to) in [keys::QUEUES, keys::TRASH] {
        for (key, _) in store.range(Table::Meta, from, to, usize::MAX)? {
            batch.delete(Table::Meta, key);
        }
    }
    batch.delete(Table::Meta, keys::FLUSHING_KEY);
    store.write(batch)
}
