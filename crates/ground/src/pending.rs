//! The changes that no record of the journal holds yet. They become one record, or, where they are
//! many bytes, several, of which all but the last say that they go on: what they do counts when the
//! last one is there.

use std::collections::{BTreeSet, VecDeque};

use journal::AppendError;

use crate::memory::Memory;
use crate::{Change, Key, change};

/// A record of a group goes on in the next one when it has so many bytes. So a record is at most
/// this and one value, which is far less than a record of the journal may be.
const PART_BYTES: usize = 16 << 20;
/// The most memory that is kept for the next record.
const KEPT_BYTES: usize = 4 << 20;

/// Changes that wait for a commit.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Full parts of all but the puts, as they stand in records.
    full: VecDeque<Vec<u8>>,
    /// What comes behind them.
    part: Vec<u8>,
    /// Keys that were put: only their last values go into the records, behind all else.
    puts: BTreeSet<Key>,
    /// Some records of the group are written, and the last is not.
    is_begun: bool,
    part_bytes: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            full: VecDeque::new(),
            part: Vec::new(),
            puts: BTreeSet::new(),
            is_begun: false,
            part_bytes: PART_BYTES,
        }
    }
}

impl Pending {
    /// The first record is to say that the records before it, which have no end, count for nothing.
    pub(crate) fn abandoning() -> Self {
        let mut pending = Self::default();
        change::push_abandon(&mut pending.part);
        pending
    }

    #[cfg(test)]
    pub(crate) const fn set_part_bytes(&mut self, bytes: usize) {
        self.part_bytes = bytes;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.part.is_empty() && self.puts.is_empty() && !self.is_begun
    }

    /// Notes a change that the memory has.
    pub(crate) fn note(&mut self, change: &Change) {
        match change {
            Change::Put(key, _) => drop(self.puts.insert(*key)),
            other => change::encode(other, &mut self.part),
        }
        self.end_full_part();
    }

    /// Notes that a key was inserted.
    pub(crate) fn note_insert(&mut self, key: &Key, value: &[u8]) {
        change::encode_insert(key, value, &mut self.part);
        self.end_full_part();
    }

    fn end_full_part(&mut self) {
        if self.part.len() >= self.part_bytes {
            self.full.push_back(std::mem::take(&mut self.part));
        }
    }

    /// Gives the records to `append`, one after the other. What it does not take waits for the next
    /// call.
    ///
    /// # Errors
    /// The first one of `append`.
    pub(crate) fn write(
        &mut self,
        memory: &Memory,
        append: &mut dyn FnMut(&[u8]) -> Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        while let Some(part) = self.full.front_mut() {
            let end = part.len();
            change::push_goes_on(part);
            append(part).inspect_err(|_| part.truncate(end))?;
            self.full.pop_front();
            self.is_begun = true;
        }
        let (puts, mut part) = (std::mem::take(&mut self.puts), std::mem::take(&mut self.part));
        let mut left = Left { bytes: part.len(), from: None };
        for key in &puts {
            if part.len() >= self.part_bytes {
                change::push_goes_on(&mut part);
                append(&part).map_err(|error| self.keep(&mut part, puts.clone(), left, error))?;
                part.clear();
                left = Left { bytes: 0, from: Some(*key) };
                self.is_begun = true;
            }
            if let Some(Some(value)) = memory.get(key) {
                change::encode(&Change::Put(*key, value), &mut part);
            }
        }
        if !part.is_empty() || self.is_begun {
            append(&part).map_err(|error| self.keep(&mut part, puts, left, error))?;
        }
        part.clear();
        part.shrink_to(KEPT_BYTES);
        (self.part, self.is_begun) = (part, false);
        Ok(())
    }

    /// Keeps what was not appended.
    fn keep(
        &mut self,
        part: &mut Vec<u8>,
        mut puts: BTreeSet<Key>,
        left: Left,
        error: AppendError,
    ) -> AppendError {
        part.truncate(left.bytes);
        self.part = std::mem::take(part);
        self.puts = match left.from {
            Some(from) => puts.split_off(&from),
            None => puts,
        };
        error
    }
}

/// What no record holds.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// The first bytes of the part: those behind are puts.
    bytes: usize,
    /// The first of the puts; `None` where it is all of them.
    from: Option<Key>,
}
