//! Writes changes that were frozen into a sorted file, and the list.

use std::sync::Arc;

use journal::Disk;

use super::Tree;
use super::output::Output;
use crate::ballast;
use crate::error::GroundError;
use crate::floors::Floors;
use crate::memory::Memory;
use crate::run::Run;

impl<D: Disk> Tree<D> {
    /// Does one thing: writes what is frozen, or merges runs. False where there is nothing to do.
    /// One thread at a time may do so.
    ///
    /// # Errors
    /// Where a file can't be read or written. Nothing is lost then, and it may be tried again.
    pub(crate) fn work(&self) -> Result<bool, GroundError> {
        if self.save()? { Ok(true) } else { self.compact() }
    }

    /// Writes the list where it is due, or what is frozen; false where there is nothing to do.
    ///
    /// # Errors
    /// Where a file can't be written. Files that are whole are not written again.
    pub(crate) fn save(&self) -> Result<bool, GroundError> {
        let saved = match self.save_once() {
            Err(error) if error.is_want_of_room() && ballast::give_up(&*self.disk) => {
                self.save_once()
            }
            saved => saved,
        };
        self.note(&saved, |state| &mut state.trouble);
        if saved.as_ref().is_ok_and(|saved| *saved) {
            // A checkpoint may have been waiting for this one.
            (self.wake)();
        }
        saved
    }

    fn save_once(&self) -> Result<bool, GroundError> {
        let is_list_due = self.lock().is_list_due;
        if is_list_due { self.write_list().map(|()| true) } else { self.flush() }
    }

    /// Makes the ballast where it is missing, and there is room for it.
    pub(crate) fn make_ballast(&self) {
        if let Err(error) = ballast::make(&*self.disk, self.ballast_bytes) {
            tracing::debug!(%error, "the ballast can't be made; it is tried again");
        }
    }

    fn flush(&self) -> Result<bool, GroundError> {
        let durable = self.watch.durable().unwrap_or_default();
        let (memory, floors, through, is_clear, is_oldest) = {
            let state = self.lock();
            let Some(frozen) = state.frozen.as_ref().filter(|frozen| frozen.through <= durable)
            else {
                return Ok(false);
            };
            let is_oldest = frozen.is_clear || state.runs.is_empty();
            // Where everything older was removed, the floors in the files are older too.
            let mut floors = if frozen.is_clear { Floors::default() } else { state.floors.clone() };
            floors.raise_to(frozen.memory.floors());
            (frozen.memory.clone(), floors, frozen.through, frozen.is_clear, is_oldest)
        };
        let written = self.write_memory(&memory, &floors, is_oldest)?;
        {
            let mut state = self.lock();
            let mut runs = state.runs.to_vec();
            if is_clear {
                let gone = std::mem::take(&mut runs);
                state.gone.extend(gone.into_iter().flat_map(|run| run.files));
                state.clears += 1;
                state.floors = Floors::default();
            }
            state.floors.raise_to(&floors);
            runs.splice(..0, written);
            state.runs = Arc::new(runs);
            (state.flushed, state.frozen, state.is_list_due) = (through, None, true);
        }
        self.write_list()?;
        Ok(true)
    }

    fn write_memory(
        &self,
        memory: &Memory,
        floors: &Floors,
        is_oldest: bool,
    ) -> Result<Option<Run<D::File>>, GroundError> {
        let mut output = Output::new(self);
        let written = memory.each(|key, value| {
            let is_needed = !floors.hides(key) && (value.is_some() || !is_oldest);
            if is_needed { output.push(*key, value) } else { Ok(()) }
        });
        output.end(written, if is_oldest { 0 } else { memory.replacing() })
    }
}
