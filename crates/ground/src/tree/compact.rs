//! Merges runs, in pieces.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use journal::Disk;

use super::output::Output;
use super::{Runs, Tree, remove};
use crate::Key;
use crate::block::{self, Value};
use crate::error::GroundError;
use crate::file::SortedFile;
use crate::floors::Floors;
use crate::merge::{Counts, Merge, Source};
use crate::policy::{self, Choice, Weight};
use crate::run::Run;

/// A merge pauses after so many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// A merge ends where less is free: the rest is for the journal and for checkpoints, without which
/// nothing can be committed. As much as the journal has before a checkpoint begins.
const FREE_BYTES: u64 = 128 << 20;
/// At rest, this part of a file's usual length may be dead beyond what is alive.
const SPARED_PART: u64 = 4;

/// A merge that was begun.
struct Begun<F> {
    choice: Choice,
    /// All runs, as they were then. Later ones come before them.
    before: Runs<F>,
    clears: u64,
    floors: Floors,
}

impl<F> Begun<F> {
    fn runs(&self) -> &[Run<F>] {
        self.before.get(self.choice.runs.clone()).unwrap_or_default()
    }

    fn is_oldest(&self) -> bool {
        self.choice.runs.end == self.before.len()
    }

    fn has(&self, file: &Arc<SortedFile<F>>) -> bool {
        self.runs().iter().flat_map(|run| &run.files).any(|own| Arc::ptr_eq(own, file))
    }
}

impl<D: Disk> Tree<D> {
    fn chosen(&self) -> Option<Begun<D::File>> {
        let state = self.lock();
        // What is frozen may remove everything.
        if state.is_closing || state.frozen.as_ref().is_some_and(|frozen| frozen.is_clear) {
            return None;
        }
        let weight = |run: &Run<D::File>| Weight {
            files: run.files.len(),
            bytes: run.bytes(),
            pairs: run.pairs(),
            removals: run.removals(),
            replacing: run.replacing,
            sizes: run.sizes(),
            is_bad: run.files.iter().any(|file| state.bad.contains(&file.summary.id)),
        };
        let weights: Vec<_> = state.runs.iter().map(weight).collect();
        let spared = self.file_bytes / SPARED_PART;
        let choice = policy::choose(&weights, state.is_resting.then_some(spared))?;
        let (clears, floors) = (state.clears, state.floors.clone());
        Some(Begun { choice, before: state.runs.clone(), clears, floors })
    }

    /// Removes files below a floor, or merges runs; false where there is nothing to do.
    ///
    /// # Errors
    /// Where a file can't be read or written. Nothing has changed then, except that runs with a
    /// file that can't be read are not merged any more.
    pub(crate) fn compact(&self) -> Result<bool, GroundError> {
        if self.drop_below()? {
            return Ok(true);
        }
        let Some(begun) = self.chosen() else {
            self.note(&Ok(false), |state| &mut state.merge_trouble);
            return Ok(false);
        };
        let merged = self.merge(&begun);
        if let Err(GroundError::Io { file, .. }) = &merged {
            self.note_unreadable(&begun, file);
        }
        let merged = merged.and_then(|run| match run {
            Some(run) => self.put_in_place(&begun, run),
            None => Ok(()),
        });
        let merged = merged.map(|()| true);
        self.note(&merged, |state| &mut state.merge_trouble);
        merged
    }

    /// Puts a merged run in the place of those that it was made of.
    fn put_in_place(&self, begun: &Begun<D::File>, run: Run<D::File>) -> Result<(), GroundError> {
        let mut state = self.lock();
        if state.clears != begun.clears {
            drop(state);
            self.discard(begun, run);
            return Ok(());
        }
        let newer = state.runs.len() - begun.before.len();
        let Range { start, end } = begun.choice.runs;
        let mut runs = state.runs.to_vec();
        let is_kept =
            |file: &Arc<SortedFile<D::File>>| run.files.iter().any(|kept| Arc::ptr_eq(kept, file));
        let gone = begun.runs().iter().flat_map(|run| &run.files).filter(|file| !is_kept(file));
        state.gone.extend(gone.cloned());
        runs.splice(start + newer..end + newer, (!run.files.is_empty()).then_some(run));
        (state.runs, state.is_list_due) = (Arc::new(runs), true);
        drop(state);
        self.save().map(|_| ())
    }

    /// The pairs of several runs as one; `None` where the merge has come to nothing.
    fn merge(&self, begun: &Begun<D::File>) -> Result<Option<Run<D::File>>, GroundError> {
        let mut output = Output::new(self);
        let merged = self.merge_into(&mut output, begun);
        let is_whole = *merged.as_ref().unwrap_or(&false);
        let replacing = begun.runs().iter().map(|run| run.replacing).sum();
        let replacing = if begun.is_oldest() { 0 } else { replacing };
        let run = output.end(merged.map(|_| ()), replacing)?;
        if is_whole {
            return Ok(Some(run.unwrap_or_else(|| Run { files: Vec::new(), replacing: 0 })));
        }
        if let Some(run) = run {
            self.discard(begun, run);
        }
        Ok(None)
    }

    /// Removes the files that were made for a run that is not needed.
    fn discard(&self, begun: &Begun<D::File>, run: Run<D::File>) {
        for file in run.files.iter().filter(|file| !begun.has(file)) {
            remove(&*self.disk, &file.summary.name());
        }
    }

    /// False where the merge is to come to nothing: a block is bad, everything was removed
    /// meanwhile, or the store is being closed.
    fn merge_into(
        &self,
        output: &mut Output<'_, D>,
        begun: &Begun<D::File>,
    ) -> Result<bool, GroundError> {
        let (runs, is_oldest) = (begun.runs(), begun.is_oldest());
        let sources = runs.iter().map(|run| Source::run(run, &Key::FIRST, None));
        let sources = sources.collect::<Result<_, _>>()?;
        let mut merge = Merge { sources, counts: Counts::Newest };
        let mut in_piece = 0;
        while let Some(index) = merge.lowest() {
            let begins_block = merge.sources.get(index).is_some_and(Source::begins_block);
            if begins_block && self.note_bad(&merge, runs) {
                return Ok(false);
            }
            if in_piece >= PIECE_BYTES {
                in_piece = 0;
                if !self.go_between(begun.clears, output.has_written())? {
                    return Ok(false);
                }
            }
            let small = output.file_bytes / begun.choice.small_part;
            if begins_block
                && let Some(file) = self.movable(&merge, index, is_oldest, small)
                && output.takes(&file, small)
            {
                output.keep(file)?;
                if let Some(source) = merge.sources.get_mut(index) {
                    source.skip_file()?;
                }
                continue;
            }
            in_piece += take_stretch(output, &mut merge, index, &|key, value| {
                !begun.floors.hides(key) && (value.is_some() || !is_oldest)
            })?;
        }
        Ok(!self.note_bad(&merge, runs))
    }

    /// Between two pieces of a merge, what is frozen is written: nobody waits for the whole merge.
    /// False where the merge is to end. A merge that has written nothing so far, since all was
    /// removed, takes no room, and gives some back.
    fn go_between(&self, clears: u64, has_written: bool) -> Result<bool, GroundError> {
        if self.lock().is_closing {
            return Ok(false);
        }
        if has_written && self.disk.free_bytes().is_some_and(|free| free < FREE_BYTES) {
            let full = io::Error::new(io::ErrorKind::StorageFull, "a merge found too little room");
            return Err(GroundError::io("the folder", full));
        }
        while self.save()? {
            self.done.notify_all();
        }
        Ok(self.lock().clears == clears)
    }

    /// Notes a file that can't be read: its run is not merged any more, as one with a bad block.
    fn note_unreadable(&self, begun: &Begun<D::File>, name: &str) {
        let files = begun.runs().iter().flat_map(|run| &run.files);
        let ids = files.map(|file| &file.summary).filter(|summary| summary.name() == name);
        self.lock().bad.extend(ids.map(|summary| summary.id));
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

    /// A file that may go into the new run as it is: it comes next, is not small, has the filter
    /// that it should have, and no other run has keys within its range.
    fn movable(
        &self,
        merge: &Merge<'_, D::File>,
        index: usize,
        is_oldest: bool,
        small: u64,
    ) -> Option<Arc<SortedFile<D::File>>> {
        let file = merge.sources.get(index)?.whole_file()?;
        let (first, last) = file.range();
        let is_small = file.summary.bytes < small;
        let has_removals = is_oldest && file.summary.removals > 0;
        let lacks_filter = file.filter_bytes() == 0 && self.filtered_byte(&first).is_some();
        let is_worth = !(is_small || has_removals || lacks_filter || file.has_bad_filter);
        let is_alone = merge.sources.iter().enumerate().all(|(other, source)| {
            other == index || source.head().is_none_or(|(key, _)| *key > last)
        });
        (is_worth && is_alone).then(|| Arc::clone(file))
    }

    /// The first byte of a key, where it is a filtered one.
    pub(super) fn filtered_byte(&self, key: &Key) -> Option<u8> {
        key.first_byte().filter(|byte| self.filtered.contains(byte))
    }
}

/// Writes what a source has below the keys of all others, up to the end of its block; its bytes.
/// The source has the lowest key, and of those with the same key it is the newest.
fn take_stretch<D: Disk>(
    output: &mut Output<'_, D>,
    merge: &mut Merge<'_, D::File>,
    index: usize,
    is_needed: &dyn Fn(&Key, Option<&[u8]>) -> bool,
) -> Result<usize, GroundError> {
    let others = merge.lowest_beside(index);
    let mut bytes = 0;
    while let Some(source) = merge.sources.get_mut(index)
        && let Some((key, value)) = source.head()
    {
        let (key, value) = (*key, value.as_deref());
        bytes += block::pair_bytes(&key, value);
        if is_needed(&key, value) {
            output.push(key, value)?;
        }
        if others == Some(key) {
            merge.pass(&key)?;
            break;
        }
        source.advance()?;
        let is_below = |(key, _): (&Key, &Value)| others.is_none_or(|other| *key < other);
        if source.begins_block() || !source.head().is_some_and(is_below) {
            break;
        }
    }
    Ok(bytes)
}
