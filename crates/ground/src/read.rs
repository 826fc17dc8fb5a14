//! Reads blocks of sorted files.

use std::sync::Arc;

use bytes::Bytes;
use journal::DiskFile;

use crate::Key;
use crate::block::{self, Value};
use crate::error::GroundError;
use crate::file::{Block, SortedFile};

/// The pairs of a block.
pub(crate) type Pairs = Arc<Vec<(Key, Value)>>;

/// Keys of which nothing can be said, because the block in which they would stand is bad: from the
/// first to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) from: Key,
    pub(crate) to: Key,
}

impl Aside {
    pub(crate) fn covers(&self, key: &Key) -> bool {
        self.from <= *key && *key < self.to
    }
}

/// Reads a block; where it is bad, the keys that are set aside.
pub(crate) fn read_block<F: DiskFile>(
    file: &SortedFile<F>,
    index: usize,
) -> Result<Result<Pairs, Aside>, GroundError> {
    Ok(read_bytes(file, index)?.map(|bytes| Arc::new(block::read(&bytes).unwrap_or_default())))
}

/// The bytes of a block, which are whole pairs; where it is bad, the keys that are set aside.
pub(crate) fn read_bytes<F: DiskFile>(
    file: &SortedFile<F>,
    index: usize,
) -> Result<Result<Bytes, Aside>, GroundError> {
    Ok(match file.block(index)? {
        Block::Good(bytes) => Ok(bytes),
        Block::Bad { from, to } => {
            let to = to.unwrap_or_else(|| file.range().1.behind());
            Err(Aside { from, to })
        }
    })
}
