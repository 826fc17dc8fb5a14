//! An edit: changes that are gathered for one atomic write, and the write itself.

use std::collections::BTreeSet;

use super::{Machine, Now, keys};
use crate::store::{Batch, Store, StoreError, Table};

/// Changes to the store, and the queues that the changes concern.
#[derive(Default)]
pub(super) struct Edit {
    pub(super) batch: Batch,
    /// The queues whose records are written with the batch.
    pub(super) queues: BTreeSet<u32>,
}

impl Edit {
    pub(super) fn touch(&mut self, queue: u32) {
        self.queues.insert(queue);
    }
}

impl Machine {
    /// Writes an edit. The counters and the records of its queues follow before the next sync.
    pub(super) fn commit(&mut self, store: &mut dyn Store, edit: Edit) -> Result<(), StoreError> {
        if edit.batch.changes.is_empty() && edit.queues.is_empty() {
            return Ok(());
        }
        self.touched.get_or_insert_default().extend(edit.queues);
        store.write(edit.batch)
    }

    /// Writes the counters and the records of all queues that were changed since the last call. A
    /// sync without it would make changes durable that the counters do not know of.
    ///
    /// # Errors
    /// Where the store fails; the machine can't be used any more.
    pub fn settle(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        let Some(touched) = self.touched.take() else { return Ok(()) };
        let mut batch = Batch::default();
        for id in touched {
            if let Some(queue) = self.queues.get(id) {
                batch.put(Table::Meta, keys::queue(id), queue.record());
            }
        }
        self.remembered.settle(&mut batch);
        batch.put(Table::Meta, keys::COUNTERS_KEY, self.counters.encode());
        store.write(batch)
    }

    /// Writes an edit, and hands jobs of its queues to the FETCHes that wait for them. The next
    /// answers, except those to FETCH, wait for a sync of the edit.
    pub(super) fn commit_and_serve(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        edit: Edit,
    ) -> Result<(), StoreError> {
        self.unsynced |= !edit.batch.changes.is_empty();
        for queue in &edit.queues {
            self.serve_later(*queue);
        }
        self.commit(store, edit)?;
        self.serve(store, now)
    }
}
