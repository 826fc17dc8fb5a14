//! Blocks that were read lately, within a budget of bytes, and those that are bad.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use journal::DiskFile;

use crate::block;
use crate::error::GroundError;
use crate::file::SortedFile;
use crate::read::{Aside, Pairs, read_block};

type Place = (u64, usize);

/// A block of more than this part of the budget is large.
const LARGE_PART: usize = 16;

/// Two generations: what was used since the younger one began moves into it, and when the younger
/// one is full the older one goes. A large value has a block of its own, and would drive out all
/// others: of these the last one that was read is kept beside them, since one value is often read
/// again and again.
#[derive(Debug)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    young: HashMap<Place, Pairs>,
    old: HashMap<Place, Pairs>,
    young_bytes: usize,
    large: Option<(Place, Pairs)>,
    bad: HashSet<Place>,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bad blocks that were met.
    pub(crate) fn bad_blocks(&self) -> usize {
        self.lock().bad.len()
    }

    /// The files in which they are.
    pub(crate) fn files_with_bad_blocks(&self) -> HashSet<u64> {
        self.lock().bad.iter().map(|(file, _)| *file).collect()
    }

    /// A block of a file.
    pub(crate) fn block<F: DiskFile>(
        &self,
        file: &SortedFile<F>,
        index: usize,
    ) -> Result<Result<Pairs, Aside>, GroundError> {
        let place = (file.summary.id, index);
        {
            let mut inner = self.lock();
            if let Some(pairs) = inner.young.get(&place) {
                return Ok(Ok(pairs.clone()));
            }
            if let Some((_, pairs)) = inner.large.as_ref().filter(|(large, _)| *large == place) {
                return Ok(Ok(pairs.clone()));
            }
            if let Some(pairs) = inner.old.remove(&place) {
                self.keep(&mut inner, place, &pairs);
                return Ok(Ok(pairs));
            }
        }
        let read = read_block(file, index)?;
        match &read {
            Ok(pairs) => self.keep(&mut self.lock(), place, pairs),
            Err(aside) => self.note_bad(file, index, aside),
        }
        Ok(read)
    }

    fn keep(&self, inner: &mut Inner, place: Place, pairs: &Pairs) {
        let bytes: usize =
            pairs.iter().map(|(key, value)| block::pair_bytes(key, value.as_deref())).sum();
        if bytes > self.bytes_max / LARGE_PART {
            inner.large = Some((place, pairs.clone()));
            return;
        }
        if inner.young_bytes + bytes > self.bytes_max / 2 {
            inner.old = std::mem::take(&mut inner.young);
            inner.young_bytes = 0;
        }
        inner.young_bytes += bytes;
        inner.young.insert(place, pairs.clone());
    }

    /// Tells of a bad block, once.
    pub(crate) fn note_bad<F: DiskFile>(&self, file: &SortedFile<F>, index: usize, aside: &Aside) {
        if self.lock().bad.insert((file.summary.id, index)) {
            tracing::error!(
                file = file.summary.name(),
                offset = file.offset(index),
                from = %aside.from,
                to = %aside.to,
                "a block of the store is not what was written; what has its keys is set aside"
            );
        }
    }
}
