//! Writes sorted files: of changes that were frozen, and of runs that are merged.

use std::sync::Arc;

use journal::{Disk, DiskFile};

use super::Tree;
use crate::Key;
use crate::block::Value;
use crate::error::GroundError;
use crate::file::{SortedFile, Writer};
use crate::memory::Memory;
use crate::merge::{Merge, Source};
use crate::policy::{self, Weight};
use crate::run::Run;

/// A file of less than this part of the usual length is merged and not kept as it is, so that there
/// are few of them.
const SMALL_PART: u64 = 4;
/// A file is at least this part of all files, so that there are some hundred of them however large
/// the store is: each takes a file descriptor.
const PARTS: u64 = 32;

/// The files of a run that is being written.
struct Output<'a, D: Disk> {
    tree: &'a Tree<D>,
    /// The length at which a file ends.
    file_bytes: u64,
    writer: Option<Writer<D::File>>,
    files: Vec<Arc<SortedFile<D::File>>>,
    /// The ids of the files that were begun here.
    begun: Vec<u64>,
}

impl<D: Disk> Tree<D> {
    /// Does one thing: writes what is frozen, or merges runs. False where there is nothing to do.
    ///
    /// # Errors
    /// Where a file can't be read or written. Nothing has changed then, and it may be tried again.
    pub(crate) fn work(&self) -> Result<bool, GroundError> {
        if self.flush()? { Ok(true) } else { self.compact() }
    }

    /// True where [`Tree::work`] has something to do.
    pub(crate) fn has_work(&self) -> bool {
        self.lock().frozen.as_ref().is_some_and(|frozen| frozen.is_durable)
            || self.chosen().is_some()
    }

    fn flush(&self) -> Result<bool, GroundError> {
        let (memory, through, is_clear, mut runs) = {
            let state = self.lock();
            let Some(frozen) = state.frozen.as_ref().filter(|frozen| frozen.is_durable) else {
                return Ok(false);
            };
            let runs = if frozen.is_clear { Vec::new() } else { state.runs.to_vec() };
            (frozen.memory.clone(), frozen.through, frozen.is_clear, runs)
        };
        if let Some(run) = self.write_memory(&memory, runs.is_empty())? {
            runs.insert(0, run);
        }
        self.write_list(&runs, through)?;
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.runs, Arc::new(runs));
        (state.through, state.frozen) = (through, None);
        drop(state);
        if is_clear {
            self.remove_files(before.iter().flat_map(|run| &run.files));
        }
        Ok(true)
    }

    fn write_memory(
        &self,
        memory: &Memory,
        is_oldest: bool,
    ) -> Result<Option<Run<D::File>>, GroundError> {
        let mut output = Output::new(self);
        let written = memory.range(&Key::FIRST).try_for_each(|(key, value)| {
            if value.is_none() && is_oldest { Ok(()) } else { output.push(key, &value) }
        });
        output.end(written)
    }

    fn chosen(&self) -> Option<std::ops::Range<usize>> {
        let state = self.lock();
        // What is frozen may remove everything.
        if state.frozen.as_ref().is_some_and(|frozen| frozen.is_clear) {
            return None;
        }
        let weight = |run: &Run<D::File>| Weight {
            bytes: run.bytes(),
            pairs: run.pairs(),
            removals: run.removals(),
            is_bad: run.files.iter().any(|file| state.bad.contains(&file.summary.id)),
        };
        policy::choose(&state.runs.iter().map(weight).collect::<Vec<_>>())
    }

    fn compact(&self) -> Result<bool, GroundError> {
        let Some(range) = self.chosen() else { return Ok(false) };
        let before = self.lock().runs.clone();
        let merged = before.get(range.clone()).unwrap_or_default();
        let Some(run) = self.merge(merged, range.end == before.len())? else {
            // A bad block was met: its run is no longer chosen.
            return Ok(true);
        };
        let mut runs = before.to_vec();
        runs.splice(range.clone(), (!run.files.is_empty()).then(|| run.clone()));
        let through = self.lock().through;
        self.write_list(&runs, through)?;
        // Nobody else writes runs.
        self.lock().runs = Arc::new(runs);
        let is_kept = |file: &&Arc<SortedFile<D::File>>| {
            run.files.iter().any(|kept| kept.summary.id == file.summary.id)
        };
        let gone = merged.iter().flat_map(|run| &run.files).filter(|file| !is_kept(file));
        self.remove_files(gone);
        Ok(true)
    }

    /// The pairs of several runs as one; `None` where a block is bad.
    fn merge(
        &self,
        runs: &[Run<D::File>],
        is_oldest: bool,
    ) -> Result<Option<Run<D::File>>, GroundError> {
        let mut output = Output::new(self);
        let merged = self.merge_into(&mut output, runs, is_oldest);
        let is_whole = *merged.as_ref().unwrap_or(&false);
        let run = output.end(merged.map(|_| ()))?;
        if is_whole {
            return Ok(Some(run.unwrap_or_else(|| Run { files: Vec::new() })));
        }
        if let Some(run) = run {
            let own = |file: &&Arc<SortedFile<D::File>>| {
                !runs.iter().flat_map(|run| &run.files).any(|old| Arc::ptr_eq(old, file))
            };
            self.remove_files(run.files.iter().filter(own));
        }
        Ok(None)
    }

    /// False where a block is bad.
    fn merge_into(
        &self,
        output: &mut Output<'_, D>,
        runs: &[Run<D::File>],
        is_oldest: bool,
    ) -> Result<bool, GroundError> {
        let sources = runs.iter().map(|run| Source::run(run.clone(), &Key::FIRST, None));
        let mut merge = Merge { sources: sources.collect::<Result<_, _>>()? };
        loop {
            if self.note_bad(&merge, runs) {
                return Ok(false);
            }
            let small = output.file_bytes / SMALL_PART;
            if let Some((index, file)) = movable(&merge, is_oldest, small) {
                output.keep(file)?;
                if let Some(source) = merge.sources.get_mut(index) {
                    source.skip_file()?;
                }
                continue;
            }
            match merge.next()? {
                None => return Ok(!self.note_bad(&merge, runs)),
                Some((_, None)) if is_oldest => {}
                Some((key, value)) => output.push(key, &value)?,
            }
        }
    }

    /// Notes the files of which a block is bad; true where there is one.
    fn note_bad(&self, merge: &Merge<'_, D::File>, runs: &[Run<D::File>]) -> bool {
        let mut is_bad = false;
        for (source, run) in merge.sources.iter().zip(runs) {
            for aside in source.asides() {
                is_bad = true;
                let Some(file) = run.files.get(run.file_of(&aside.from)) else { continue };
                self.lock().bad.insert(file.summary.id);
                self.cache.note_bad(file, file.block_of(&aside.from), aside);
            }
        }
        is_bad
    }
}

/// A file that may go into the new run as it is: it comes next, is not small, and no other run has
/// keys within its range.
fn movable<F: DiskFile>(
    merge: &Merge<'_, F>,
    is_oldest: bool,
    small: u64,
) -> Option<(usize, Arc<SortedFile<F>>)> {
    let index = merge.lowest()?;
    let file = merge.sources.get(index)?.whole_file()?;
    let is_worth = file.summary.bytes >= small && !(is_oldest && file.summary.removals > 0);
    let last = file.range().1;
    let is_alone =
        merge.sources.iter().enumerate().all(|(other, source)| {
            other == index || source.head().is_none_or(|(key, _)| *key > last)
        });
    (is_worth && is_alone).then(|| (index, Arc::clone(file)))
}

impl<'a, D: Disk> Output<'a, D> {
    fn new(tree: &'a Tree<D>) -> Self {
        let all = tree.lock().runs.iter().map(Run::bytes).sum::<u64>();
        let file_bytes = tree.file_bytes.max(all / PARTS);
        Self { tree, file_bytes, writer: None, files: Vec::new(), begun: Vec::new() }
    }

    fn push(&mut self, key: Key, value: &Value) -> Result<(), GroundError> {
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

    fn end_file(&mut self) -> Result<(), GroundError> {
        if let Some(writer) = self.writer.take() {
            self.files.push(Arc::new(writer.end()?));
        }
        Ok(())
    }

    /// Takes a file as it is.
    fn keep(&mut self, file: Arc<SortedFile<D::File>>) -> Result<(), GroundError> {
        self.end_file()?;
        self.files.push(file);
        Ok(())
    }

    /// The run, if it has any pairs; where something failed, the files that were begun are removed.
    fn end(
        mut self,
        written: Result<(), GroundError>,
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
        Ok((!self.files.is_empty()).then_some(Run { files: self.files }))
    }
}
