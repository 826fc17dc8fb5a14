//! Writes a sorted file.

use journal::{Disk, DiskFile};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::filter::{self, Filter};
use super::{Foot, Place, SortedFile, Summary, filter_seed, index, name, seed, write_foot};
use crate::Key;
use crate::block;
use crate::error::GroundError;
use crate::sizes::Sizes;

/// A block is written when it has so many bytes. A larger value has a block of its own.
const BLOCK_BYTES: usize = 16 << 10;
/// Bytes are given to the system in parts of about this size.
const PART_BYTES: usize = 1 << 20;
/// After so many parts the file is synced, so that the syncs of records do not wait behind a whole
/// file.
const PARTS_PER_SYNC: u32 = 4;

/// A sorted file that is being written. Pairs come in the order of their keys.
pub(crate) struct Writer<F> {
    file: F,
    summary: Summary,
    /// What is not written yet, and where it will be.
    part: Vec<u8>,
    part_at: u64,
    /// Where the block begins in the part.
    block_at: usize,
    first: Option<Key>,
    last: Key,
    places: Vec<Place>,
    /// The hashes of the keys; `None` where the file gets no filter.
    hashes: Option<Vec<u64>>,
    /// Parts that were written and not synced.
    unsynced: u32,
}

impl<F: DiskFile> Writer<F> {
    /// `is_filtered`: the file gets a filter of its keys.
    pub(crate) fn new<D: Disk<File = F>>(
        disk: &D,
        id: u64,
        salt: u64,
        is_filtered: bool,
    ) -> Result<Self, GroundError> {
        let name = name(id);
        let file = disk.create(&name).map_err(|error| GroundError::io(&name, error))?;
        Ok(Self {
            file,
            summary: Summary { id, salt, bytes: 0, pairs: 0, removals: 0, sizes: Sizes::default() },
            part: Vec::new(),
            part_at: 0,
            block_at: 0,
            first: None,
            last: Key::FIRST,
            places: Vec::new(),
            hashes: is_filtered.then(Vec::new),
            unsynced: 0,
        })
    }

    /// The bytes so far, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.part_at + self.part.len() as u64
    }

    pub(crate) fn push(&mut self, key: Key, value: Option<&[u8]>) -> Result<(), GroundError> {
        let pair_bytes = block::pair_bytes(&key, value);
        let in_block = self.part.len() - self.block_at;
        if in_block > 0 && in_block + pair_bytes > BLOCK_BYTES {
            self.end_block()?;
        }
        self.first.get_or_insert(key);
        block::push(&mut self.part, &key, value);
        if let Some(hashes) = &mut self.hashes {
            hashes.push(filter::hash(&key));
        }
        self.last = key;
        self.summary.pairs += 1;
        self.summary.removals += u64::from(value.is_none());
        self.summary.sizes.note(pair_bytes);
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), GroundError> {
        let Some(first) = self.first.take() else { return Ok(()) };
        let at = self.part_at + self.block_at as u64;
        let bytes = self.end_checked(seed(self.summary.salt, at));
        self.places.push(Place { first, at, bytes });
        if self.part.len() >= PART_BYTES {
            self.write_part()?;
        }
        Ok(())
    }

    /// Puts the checksum behind the bytes from `block_at` on; their count with it.
    fn end_checked(&mut self, seed: u64) -> u32 {
        let bytes = self.part.get(self.block_at..).unwrap_or_default();
        let checksum = xxh3_64_with_seed(bytes, seed);
        self.part.extend_from_slice(&checksum.to_le_bytes());
        let length = self.part.len() - self.block_at;
        self.block_at = self.part.len();
        u32::try_from(length).unwrap_or(u32::MAX)
    }

    fn write_part(&mut self) -> Result<(), GroundError> {
        let written = self.file.write_at(self.part_at, &self.part);
        written.map_err(|error| GroundError::io(&self.summary.name(), error))?;
        self.part_at += self.part.len() as u64;
        self.part.clear();
        self.block_at = 0;
        self.unsynced += 1;
        if self.unsynced == PARTS_PER_SYNC {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), GroundError> {
        self.unsynced = 0;
        self.file.sync().map_err(|error| GroundError::io(&self.summary.name(), error))
    }

    /// Ends the file and syncs it. Its name is not synced yet.
    pub(crate) fn end(mut self) -> Result<SortedFile<F>, GroundError> {
        self.end_block()?;
        let filter = self.hashes.take().map(|hashes| Filter::of(&hashes));
        let filter_at = filter.as_ref().map(|filter| {
            let at = self.part_at + self.part.len() as u64;
            filter.write(&mut self.part);
            self.end_checked(filter_seed(self.summary.salt, at));
            at
        });
        let index_at = self.part_at + self.part.len() as u64;
        self.part.extend_from_slice(&index(&self.places, self.last));
        self.end_checked(seed(self.summary.salt, index_at));
        let foot = write_foot(&self.summary, Foot { index_at, filter_at });
        self.part.extend_from_slice(&foot);
        self.write_part()?;
        self.summary.bytes = self.part_at;
        self.sync()?;
        let Self { file, summary, places, last, .. } = self;
        Ok(SortedFile { summary, file, places, last, filter, has_bad_filter: false })
    }
}
