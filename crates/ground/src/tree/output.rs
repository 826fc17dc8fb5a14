//! The files of a run that is being written.

use std::sync::Arc;

use journal::Disk;

use super::Tree;
use crate::Key;
use crate::block::Value;
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
    files: Vec<Arc<SortedFile<D::File>>>,
    /// The ids of the files that were begun here.
    begun: Vec<u64>,
}

impl<'a, D: Disk> Output<'a, D> {
    pub(super) fn new(tree: &'a Tree<D>) -> Self {
        let all = tree.lock().runs.iter().map(Run::bytes).sum::<u64>();
        let file_bytes = tree.file_bytes.max(all / PARTS);
        Self { tree, file_bytes, writer: None, files: Vec::new(), begun: Vec::new() }
    }

    pub(super) fn push(&mut self, key: Key, value: &Value) -> Result<(), GroundError> {
        if self.writer.as_ref().is_some_and(|writer| writer.bytes() >= self.file_bytes) {
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
                self.writer.insert(Writer::new(&*self.tree.disk, id, salt)?)
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
