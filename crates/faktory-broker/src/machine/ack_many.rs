//! WF ACK: the jobs of many reservations are done. The command goes by the numbers of the
//! reservations, so one that is sent again ends nothing else.

use faktory_wire::{DoneJob, Reply};

use super::edit::Edit;
use super::{Machine, keys};
use crate::store::{Store, StoreError, Table};

/// A WF ACK that is being carried out.
#[derive(Debug)]
pub(super) struct RunningAcks(std::vec::IntoIter<DoneJob>);

impl RunningAcks {
    /// Each reservation is looked at once: what a slice has ended is not in the store before the
    /// slice is over.
    pub(super) fn new(mut jobs: Vec<DoneJob>) -> Self {
        jobs.sort_unstable();
        jobs.dedup();
        Self(jobs.into_iter())
    }
}

impl Machine {
    /// Ends as many of the reservations as the slice allows, in one write. A job whose reservation
    /// has ended is passed over, because a client that missed the answer sends its command again.
    pub(super) fn advance_acks(
        &mut self,
        store: &mut dyn Store,
        acks: &mut RunningAcks,
    ) -> Result<Option<Reply>, StoreError> {
        let mut edit = Edit::default();
        while !self.work.is_spent() {
            let Some(job) = acks.0.next() else { break };
            self.work.spend(1, 0);
            self.done(store, &mut edit, &job)?;
        }
        self.unsynced |= !edit.batch.changes.is_empty();
        self.commit(store, edit)?;
        Ok((acks.0.len() == 0).then_some(Reply::OK))
    }

    fn done(
        &mut self,
        store: &dyn Store,
        edit: &mut Edit,
        DoneJob { reservation, jid }: &DoneJob,
    ) -> Result<(), StoreError> {
        if let Some(entry) = self.take_reserved(store, edit, jid, *reservation)? {
            edit.batch.delete(Table::Bodies, keys::body(entry.job));
            self.counters.processed += 1;
        }
        Ok(())
    }
}
