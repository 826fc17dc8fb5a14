//! Commits.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use journal::{AppendError, Disk, Log, LogFailed, Number};

use super::Ground;

/// While the sorted files can't be written, commits end at so many times the bounds that begin a
/// checkpoint otherwise.
const FULL: usize = 4;

impl<D: Disk> Ground<D> {
    /// Writes all changes since the last commit into the journal, as one group; the number of its
    /// last record, or that of the last one of all where nothing was changed. The changes survive
    /// the end of this process now, and are durable when [`Ground::durable`] has reached the
    /// number. After a crash all changes of a group are there, or none.
    ///
    /// # Errors
    /// As [`Log::append`]. With [`AppendError::NoRoom`], the changes stay, can be read, and wait
    /// for the next commit: the caller makes no more changes than it must, and tries again. That
    /// is also said where the sorted files can't be written ([`Ground::trouble`]), and the memory
    /// or the journal has grown beyond four times its bound.
    pub fn commit(&mut self) -> Result<Number, AppendError> {
        let written = if self.pending.is_empty() {
            Ok(())
        } else {
            self.wait_for_files();
            self.check_room().and_then(|()| self.write_pending())
        };
        // Also where there was no room: a checkpoint that is under way makes some.
        self.go_on();
        written.map(|()| self.log.last())
    }

    pub(super) fn write_pending(&mut self) -> Result<(), AppendError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let Self { log, memory, pending, since_checkpoint, .. } = self;
        let epoch = log.epoch();
        pending.write(memory, &mut |record| {
            log.append(epoch, record)?;
            *since_checkpoint += record.len() as u64;
            Ok(())
        })
    }

    /// Waits while the changes in memory are far more than they should be and the files can still
    /// be written.
    fn wait_for_files(&mut self) {
        while self.must_wait() {
            let from = Instant::now();
            self.go_on();
            self.tree.wait();
            if let Some(waited) = self.waits.note(from, Instant::now()) {
                tracing::warn!(
                    waited_ms = waited.as_millis(),
                    "commits have waited for the store's files to be written, since changes come \
                     faster than that; nothing is answered meanwhile. Less at a time helps, a \
                     faster disk, or less other work on it"
                );
            }
        }
    }

    fn must_wait(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
            && self.memory.bytes() >= 2 * self.options.memory_bytes
            && self.tree.lock().frozen.is_some()
            && self.tree.lock().trouble.is_none()
            && self.log.durable().is_ok()
    }

    /// What can't be written into files stays in memory and in the journal: they have bounds.
    fn check_room(&self) -> Result<(), AppendError> {
        let is_full = self.memory.bytes() >= FULL * self.options.memory_bytes
            || self.since_checkpoint >= FULL as u64 * self.options.journal_bytes;
        match &self.tree.lock().trouble {
            Some(trouble) if is_full => {
                Err(AppendError::NoRoom(io::Error::other(format!("behind the files: {trouble}"))))
            }
            _ => Ok(()),
        }
    }

    /// Why the sorted files can't be written, where they can't. It is tried again and again.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        let state = self.tree.lock();
        state.trouble.clone().or_else(|| state.merge_trouble.clone())
    }

    /// Makes everything committed durable, on this thread.
    ///
    /// # Errors
    /// Where the journal has failed, or fails now.
    pub fn sync(&mut self) -> Result<(), LogFailed> {
        self.log.sync()?;
        self.go_on();
        Ok(())
    }

    /// Asks that everything committed becomes durable. Returns at once.
    pub fn flush(&mut self) {
        self.log.flush();
    }

    /// The number up to which everything committed is durable.
    ///
    /// # Errors
    /// Where the journal has failed.
    pub fn durable(&self) -> Result<Number, LogFailed> {
        self.log.durable()
    }
}
