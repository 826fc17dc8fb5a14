//! Changes being put together for one atomic write.

use std::collections::BTreeSet;

use crate::store::Batch;

#[derive(Default)]
pub(super) struct Edit {
    pub(super) batch: Batch,
    /// Those whose records are written with it.
    pub(super) queues: BTreeSet<u32>,
}

impl Edit {
    pub(super) fn touch(&mut self, queue: u32) {
        self.queues.insert(queue);
    }
}
