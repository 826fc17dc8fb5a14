//! What the records of the journal did since the last checkpoint.

use bytes::Bytes;
use journal::{Number, TakeError};

use super::apply;
use crate::Change;
use crate::change::{self, Entry};
use crate::floors::Floors;
use crate::memory::Memory;
use crate::pending::Pending;

/// What the records have done so far.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The sorted files have what the records up to here did.
    through: Number,
    pub(crate) memory: Memory,
    pub(crate) is_clear: bool,
    /// The bytes of the records.
    pub(crate) bytes: u64,
    /// The changes of a group whose last record has not come.
    group: Vec<Change>,
    /// Such a group was begun.
    is_begun: bool,
    /// The last record that was taken.
    last: Number,
}

impl Replay {
    /// Begins behind what the sorted files have, with the floors that they have, in a store with
    /// these filtered tables.
    pub(crate) fn behind(through: Number, floors: Floors, filtered: &'static [u8]) -> Self {
        Self { through, memory: Memory::above(floors, filtered), ..Self::default() }
    }

    pub(crate) fn take(&mut self, number: Number, record: &[u8]) -> Result<(), TakeError> {
        if number <= self.through {
            return Ok(());
        }
        self.bytes += record.len() as u64;
        let record = Bytes::copy_from_slice(record);
        let entries = change::decode(&record).ok_or("it holds no changes")?;
        if number != self.last.next() && entries.first() != Some(&Entry::Abandon) {
            // Records are missing, and the end of the group among them: what is there is kept. An
            // opening does not come here, because it refuses a journal that lacks a record.
            self.apply_group();
        }
        (self.is_begun, self.last) = (false, number);
        for entry in entries {
            match entry {
                Entry::Change(change) => self.group.push(alone(change, &record)),
                Entry::Abandon => self.group.clear(),
                Entry::GoesOn => self.is_begun = true,
            }
        }
        if !self.is_begun {
            self.apply_group();
        }
        Ok(())
    }

    fn apply_group(&mut self) {
        for change in std::mem::take(&mut self.group) {
            self.is_clear |= apply(&mut self.memory, change);
        }
    }

    /// What the next commit begins with: a group without an end counts for nothing.
    pub(crate) fn pending(&self) -> Pending {
        if !self.is_begun {
            return Pending::default();
        }
        tracing::warn!(
            changes = self.group.len(),
            "the last commit was not written to its end, and is left out"
        );
        Pending::abandoning()
    }
}

/// A change whose value does not keep a much larger record in memory.
fn alone(change: Change, record: &Bytes) -> Change {
    let own = |value: Bytes| {
        if value.len() < record.len() / 2 { Bytes::copy_from_slice(&value) } else { value }
    };
    match change {
        Change::Insert(key, value) => Change::Insert(key, own(value)),
        Change::Put(key, value) => Change::Put(key, own(value)),
        other => other,
    }
}
