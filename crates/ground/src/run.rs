//! A run: sorted files whose ranges of keys follow each other.

use std::sync::Arc;

use journal::DiskFile;

use crate::Key;
use crate::block::{self, Value};
use crate::cache::Cache;
use crate::error::GroundError;
use crate::file::SortedFile;
use crate::read::read_bytes;
use crate::sizes::Sizes;

/// Sorted files in the order of their keys.
pub(crate) struct Run<F> {
    pub(crate) files: Vec<Arc<SortedFile<F>>>,
    /// So many of its pairs, at most, replace or remove one of an older run.
    pub(crate) replacing: u64,
}

impl<F> Clone for Run<F> {
    fn clone(&self) -> Self {
        Self { files: self.files.clone(), replacing: self.replacing }
    }
}

impl<F: DiskFile> Run<F> {
    /// The first file that may hold this key, or keys behind it.
    pub(crate) fn file_of(&self, key: &Key) -> usize {
        self.files.partition_point(|file| file.range().1 < *key)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.summary.bytes).sum()
    }

    pub(crate) fn pairs(&self) -> u64 {
        self.files.iter().map(|file| file.summary.pairs).sum()
    }

    pub(crate) fn removals(&self) -> u64 {
        self.files.iter().map(|file| file.summary.removals).sum()
    }

    /// False where no file of it has this key for certain.
    pub(crate) fn may_have(&self, key: &Key) -> bool {
        self.files.get(self.file_of(key)).is_none_or(|file| file.may_have(key))
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let mut sizes = Sizes::default();
        self.files.iter().for_each(|file| sizes.add(&file.summary.sizes));
        sizes
    }

    /// The value of a key, or the mark that it was removed; `None` where older runs say. Nothing is
    /// said of a key whose block is bad: it counts as removed.
    pub(crate) fn get(&self, key: &Key, cache: &Cache) -> Result<Option<Value>, GroundError> {
        let Some(file) = self.files.get(self.file_of(key)) else { return Ok(None) };
        if *key < file.range().0 || !file.may_have(key) {
            return Ok(None);
        }
        let block = file.block_of(key);
        if file.filter_bytes() > 0 {
            // Mostly it is not there: its block is not worth a place in the cache.
            return Ok(match read_bytes(file, block)? {
                Ok(bytes) => block::find(&bytes, key),
                Err(aside) => {
                    cache.note_bad(file, block, &aside);
                    Some(None)
                }
            });
        }
        match cache.block(file, block)? {
            Ok(pairs) => {
                let found = pairs.binary_search_by(|(other, _)| other.cmp(key)).ok();
                Ok(found.and_then(|at| pairs.get(at)).map(|(_, value)| value.clone()))
            }
            Err(_) => Ok(Some(None)),
        }
    }
}
