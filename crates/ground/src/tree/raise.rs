//! Files below a floor: they go unread.

use std::sync::Arc;

use journal::Disk;

use super::Tree;
use crate::error::GroundError;
use crate::floors::Floors;

impl<D: Disk> Tree<D> {
    /// Raises the floors of the files. The records that raised them are durable: the list may have
    /// them before a checkpoint has the rest of what those records did. False where everything in
    /// the files was removed before these floors were raised, and the files do not know it yet.
    pub(crate) fn raise(&self, floors: &Floors) -> bool {
        let mut state = self.lock();
        if state.frozen.as_ref().is_some_and(|frozen| frozen.is_clear) {
            return false;
        }
        state.floors.raise_to(floors);
        drop(state);
        self.call();
        true
    }

    /// Removes the files that lie below a floor, also those with a bad block; false where there are
    /// none. Not while runs are merged: it may remove whole runs.
    ///
    /// # Errors
    /// Where the list can't be written. It is due then, and the files go when it is written.
    pub(super) fn drop_below(&self) -> Result<bool, GroundError> {
        let mut state = self.lock();
        let is_below = |range| state.floors.hides_all(range);
        if !state.runs.iter().flat_map(|run| &run.files).any(|file| is_below(file.range())) {
            return Ok(false);
        }
        let (mut runs, mut gone) = (state.runs.to_vec(), Vec::new());
        for run in &mut runs {
            gone.extend(run.files.extract_if(.., |file| is_below(file.range())));
        }
        runs.retain(|run| !run.files.is_empty());
        for file in &gone {
            state.bad.remove(&file.summary.id);
        }
        state.gone.extend(gone);
        (state.runs, state.is_list_due) = (Arc::new(runs), true);
        drop(state);
        self.save()
    }
}
