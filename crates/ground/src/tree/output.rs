//! The files of a run that is being written.

use std::sync::Arc;

use journal::Disk;

use super::Tree;
use crate::Key;
use crate::error::GroundError;
use crate::file::{SortedFile, Writer};
use crate::run::Run;

/// A file that is written is at least this part of all files, so that there are few however large
/// the store is: each takes a descriptor.
const PARTS: u64 = 32;

/// The files of a run that is being written.
pub(super) struct Output<'a, D: Disk> {
    tree: &'a Tree<D>,
    /// The length at which a file ends.
    pub(super) file_bytes: u64,
    writer: Option<Writer<D::File>>,
    /// The first byte of the keys in the file that is being written, where it is a filtered one.
    table: Option<u8>,
    /// The length at which that file ends.
    limit: u64,
    files: Vec<Arc<SortedFile<D::File>>>,
    /// The ids of the files that were begun here.
    begun: Vec<u64>,
}

impl<'a, D: Disk> Output<'a, D> {
    pub(super) fn new(tree: &'a Tree<D>) -> Self {
        let all = tree.lock().runs.iter().map(Run::bytes).sum::<u64>();
        let file_bytes = tree.file_bytes.max(all / PARTS);
        let (writer, table, limit) = (None, None, file_bytes);
        Self { tree, file_bytes, writer, table, limit, files: Vec::new(), begun: Vec::new() }
    }

    pub(super) fn push(&mut self, key: Key, value: Option<&[u8]>) -> Result<(), GroundError> {
        let table = self.tree.filtered_byte(&key);
        let is_full = |writer: &Writer<_>| writer.bytes() >= self.limit || table != self.table;
        if self.writer.as_ref().is_some_and(is_full) {
            self.end_file()?;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let (id, salt) = {
                    let mut state = self.tree.lock();
                    state.next_file += 1;
                    (state.next_file - 1, state.random.u64(..))
                };
                self.begun.push(id);
                (self.table, self.limit) = (table, self.file_bytes);
                let writer = Writer::new(&*self.tree.disk, id, salt, table.is_some())?;
                self.writer.insert(writer)
            }
        };
        writer.push(key, value)
    }

    /// True where a file was begun.
    pub(super) const fn has_written(&self) -> bool {
        !self.begun.is_empty()
    }

    fn end_file(&mut self) -> Result<(), GroundError> {
        if let Some(writer) = self.writer.take() {
            self.files.push(Arc::new(writer.end()?));
        }
        Ok(())
    }

    /// Whether a file that comes next is to be taken as it is. Not where the one that is being
    /// written would stay smaller than `small`, in bytes: there would be ever more of those. It
    /// gets what is in the file as well then, and ends behind it, so that the files after it can
    /// be taken as they are.
    pub(super) fn takes(&mut self, file: &SortedFile<D::File>, small: u64) -> bool {
        let Some(bytes) = self.writer.as_ref().map(Writer::bytes) else { return true };
        let is_other = self.tree.filtered_byte(&file.range().0) != self.table;
        if bytes >= small || is_other {
            return true;
        }
        if file.summary.bytes <= 2 * self.file_bytes {
            self.limit = self.file_bytes.max(bytes + file.summary.bytes);
        }
        false
    }

    /// Takes a file as it is.
    pub(super) fn keep(&mut self, file: Arc<SortedFile<D::File>>) -> Result<(), GroundError> {
        self.end_file()?;
        self.files.push(file);
        Ok(())
    }

    /// The run, if it has any pairs; where something failed, the files that were begun are removed.
    pub(super) fn end(
        mut self,
        written: Result<(), GroundError>,
        replacing: u64,
    ) -> Result<Option<Run<D::File>>, GroundError> {
        let ended = written.and_then(|()| self.end_file()).and_then(|()| {
            let synced = self.tree.disk.sync_names();
            synced.map_err(|error| GroundError::io("the folder", error))
        });
        if let Err(error) = ended {
            for id in self.begun {
                // One that was not made can't be removed.
                let _ = self.tree.disk.remove(&crate::file::name(id));
            }
            return Err(error);
        }
        Ok((!self.files.is_empty()).then_some(Run { files: self.files, replacing }))
    }
}
