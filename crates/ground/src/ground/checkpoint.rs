//! Checkpoints: what is in memory goes into sorted files.

use journal::{Disk, Log};

use super::Ground;
use crate::error::GroundError;
use crate::tree::Frozen;

/// At rest, a checkpoint begins at this part of the bytes in the journal that begin one otherwise,
const REST_PART: u64 = 16;
/// ... or where this part of a file's length may be dead by what is in memory.
const DEAD_PART: u64 = 4;

impl<D: Disk> Ground<D> {
    /// Says that nothing will be changed for a while; see [`Log::rest`]. Room on the disk is given
    /// back meanwhile: what is mostly dead is merged, and the journal is cut. Returns at once, and
    /// is called again about every second while nothing is changed, or whenever `wake` was called:
    /// giving back may take several steps.
    pub fn rest(&mut self) {
        self.log.rest();
        self.is_resting = true;
        self.tree.rest(true);
        self.go_on();
    }

    /// Begins a checkpoint where one is due, and lets a durable one go on.
    pub(super) fn go_on(&mut self) {
        self.raise_floors();
        let waits = self.tree.lock().frozen.as_ref().map(|frozen| frozen.through);
        if let Some(through) = waits {
            if self.log.durable().is_ok_and(|durable| through <= durable) {
                self.tree.call();
            }
        } else if self.pending.is_empty() && (self.is_due() || self.is_due_at_rest()) {
            self.freeze();
        }
    }

    fn is_due(&self) -> bool {
        self.memory.bytes() >= self.options.memory_bytes
            || self.since_checkpoint >= self.options.journal_bytes
            || self.is_clear
            || self.gives_room()
    }

    /// The journal has no room for the segment after the next, and a checkpoint would take one back
    /// while there still is some for commits.
    fn gives_room(&self) -> bool {
        self.since_checkpoint >= self.options.journal.segment_bytes && self.log.lacks_room()
    }

    fn is_due_at_rest(&self) -> bool {
        let dead = || self.tree.most_bytes(self.memory.replacing());
        self.is_resting
            && self.since_checkpoint > 0
            && (self.since_checkpoint >= self.options.journal_bytes / REST_PART
                || dead() >= self.options.file_bytes / DEAD_PART)
    }

    /// What is in memory is on its way into files, and new changes gather.
    fn freeze(&mut self) {
        let next = self.memory.next();
        let frozen = Frozen {
            memory: std::mem::replace(&mut self.memory, next).into(),
            through: self.log.last(),
            is_clear: std::mem::take(&mut self.is_clear),
        };
        self.tree.lock().frozen = Some(frozen);
        self.since_checkpoint = 0;
        self.log.flush();
        self.tree.call();
    }

    /// Does one thing that happens in the background: false where there is nothing to do. Beside
    /// threads it only begins a checkpoint where one is due.
    ///
    /// # Errors
    /// Where a file can't be read or written; it may be tried again.
    pub fn work(&mut self) -> Result<bool, GroundError> {
        self.go_on();
        if self.thread.is_some() {
            return Ok(false);
        }
        Ok(self.log.work() || self.tree.work()?)
    }

    /// Makes everything durable, writes it into sorted files, and notes that the journal ends here:
    /// nothing is left to replay. A merge that is under way is left.
    ///
    /// # Errors
    /// Where something can't be written. What was committed is in the journal then.
    pub fn close(&mut self) -> Result<(), GroundError> {
        let written = self.write_pending();
        self.log.flush();
        self.end_thread();
        // What follows does their work, and nobody else may meanwhile.
        self.log.end_threads();
        self.log.sync()?;
        let saved = written.map_err(GroundError::from).and_then(|()| self.save_all());
        self.log.close()?;
        saved
    }

    fn save_all(&mut self) -> Result<(), GroundError> {
        // What is frozen already, and then what came since.
        while self.tree.save()? {}
        if self.tree.lock().through < self.log.last() {
            self.freeze();
            while self.tree.save()? {}
        }
        Ok(())
    }

    pub(super) fn end_thread(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.tree.end();
            // What a thread that panicked did not write is still in the journal.
            let _ = thread.join();
        }
    }
}
