//! WF REQUEUE: a worker gives a job back. The reservation ends without a failure and without a run,
//! and the job goes to the end of its queue, or into the scheduled set where it is due later; all
//! in one write, so that no crash loses or doubles the job.

use faktory_wire::{Reply, Requeue};

use super::edit::Edit;
use super::keys::{EntryKey, Location};
use super::{Machine, Now};
use crate::store::{Store, StoreError};

impl Machine {
    /// Gives the job of a reservation back. A command for a reservation that has ended is answered
    /// with OK, because a client that missed the answer sends it again.
    pub(super) fn give_back(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        requeue: &Requeue,
    ) -> Result<Reply, StoreError> {
        let Requeue { jid, reservation, at } = requeue;
        let mut edit = Edit::default();
        let Some(mut entry) = self.take_reserved(store, &mut edit, jid, *reservation)? else {
            return Ok(Reply::OK);
        };
        match at.filter(|due| *due > now.wall) {
            Some(due) => {
                let key = EntryKey { due, number: entry.job };
                entry.position = self.counters.number();
                self.put_into(&mut edit, Location::Scheduled, key, &entry);
            }
            None => {
                self.enqueue(store, &mut edit, now, entry)?;
            }
        }
        self.commit_and_serve(store, now, edit)?;
        Ok(Reply::OK)
    }
}
