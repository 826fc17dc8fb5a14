//! Floors on their way to the sorted files. They get there with a checkpoint; but one may be far
//! away, and files below a floor are to give their room back soon. So the files are told of a floor
//! as soon as its record is durable: what they do with it survives a loss of power then.

use journal::{Disk, Log, Number};

use super::Ground;
use crate::Change;
use crate::floors::Floors;

/// What the files were not told of.
#[derive(Debug, Default)]
pub(super) struct Raising {
    /// There may be a floor that waits for nothing yet.
    is_new: bool,
    /// Floors that wait until this record is durable.
    waiting: Option<(Number, Floors)>,
}

impl Raising {
    /// There may be floors in the journal.
    pub(super) const fn of_journal() -> Self {
        Self { is_new: true, waiting: None }
    }

    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::Floor(_) => self.is_new = true,
            // It takes the floors with it.
            Change::Clear => *self = Self::default(),
            Change::Insert(..) | Change::Put(..) | Change::Remove(_) => {}
        }
    }
}

impl<D: Disk> Ground<D> {
    /// Tells the files of floors whose record is durable. Where everything older was removed they
    /// wait: the files learn that from a checkpoint, which begins at once.
    pub(super) fn raise_floors(&mut self) {
        let Raising { is_new, waiting } = &mut self.raising;
        if *is_new && waiting.is_none() && self.pending.is_empty() {
            let floors = self.memory.floors();
            *waiting = (!floors.is_empty()).then(|| (self.log.last(), floors.clone()));
            *is_new = false;
        }
        if let Some((number, floors)) = waiting
            && !self.is_clear
            && self.log.durable().is_ok_and(|durable| *number <= durable)
            && self.tree.raise(floors)
        {
            *waiting = None;
        }
    }
}
