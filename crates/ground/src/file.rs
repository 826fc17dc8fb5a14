//! A sorted file: blocks of pairs, a filter of the keys where it has one, an index of the blocks,
//! and a foot of 64 bytes that says where filter and index are. Each block has a checksum of 8
//! bytes behind it (XXH3 with the salt of the file and the place of the block as the seed), the
//! filter, the index and the foot have theirs. The seed of the filter's is another one, so that it
//! is never taken for a block.

mod filter;
mod rescue;
mod write;

use bytes::Bytes;
use journal::{Disk, DiskFile};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::Key;
use crate::block::{self, Value};
use crate::error::GroundError;
use crate::sizes::Sizes;
use filter::Filter;
pub(crate) use rescue::{Found, find};
pub(crate) use write::Writer;

const MAGIC: [u8; 8] = *b"WFsort01";
const FOOT: usize = 64;
const CHECKSUM: usize = 8;

/// What the list of files says of one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Summary {
    pub(crate) id: u64,
    pub(crate) salt: u64,
    pub(crate) bytes: u64,
    /// The pairs in it, and those of them that are removals.
    pub(crate) pairs: u64,
    pub(crate) removals: u64,
    /// How many pairs there are of which size.
    #[serde(default)]
    pub(crate) sizes: Sizes,
}

impl Summary {
    pub(crate) fn name(&self) -> String {
        name(self.id)
    }
}

const ENDING: &str = ".sorted";

pub(crate) fn name(id: u64) -> String {
    format!("{id:016x}{ENDING}")
}

pub(crate) fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// Where a block is, and its first key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    first: Key,
    at: u64,
    bytes: u32,
}

/// An open sorted file. Its index and its filter are in memory.
pub(crate) struct SortedFile<F> {
    pub(crate) summary: Summary,
    file: F,
    places: Vec<Place>,
    last: Key,
    filter: Option<Filter>,
    /// The filter is not what was written: the file is read without it.
    pub(crate) has_bad_filter: bool,
}

/// Where the parts behind the blocks are.
#[derive(Debug, Clone, Copy)]
struct Foot {
    index_at: u64,
    /// `None` where the file has no filter.
    filter_at: Option<u64>,
}

/// A block that was read.
pub(crate) enum Block {
    /// Its bytes, which are whole pairs.
    Good(Bytes),
    /// It is not what was written. All that can be said of its keys is where they would be: from
    /// the first to before the second.
    Bad { from: Key, to: Option<Key> },
}

fn seed(salt: u64, at: u64) -> u64 {
    salt ^ at
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl<F: DiskFile> SortedFile<F> {
    /// Opens a file, and reads its index and its filter.
    pub(crate) fn open<D: Disk<File = F>>(disk: &D, summary: Summary) -> Result<Self, GroundError> {
        let name = summary.name();
        Self::open_named(disk, &name, summary)
    }

    /// Opens a file that may have another name than it was written with.
    fn open_named<D: Disk<File = F>>(
        disk: &D,
        name: &str,
        summary: Summary,
    ) -> Result<Self, GroundError> {
        let name = name.to_owned();
        let damaged = |what| GroundError::Damaged { file: name.clone(), what };
        let file = disk.open(&name).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => damaged("is missing"),
            _ => GroundError::io(&name, error),
        })?;
        let length = file.length().map_err(|error| GroundError::io(&name, error))?;
        if length != summary.bytes {
            return Err(damaged("has another length than it was written with"));
        }
        let read = |at: u64, bytes: usize| {
            let mut into = vec![0; bytes];
            file.read_at(at, &mut into).map_err(|error| GroundError::io(&name, error))?;
            Ok::<_, GroundError>(Bytes::from(into))
        };
        let foot_at = length.checked_sub(FOOT as u64).ok_or_else(|| damaged("has no foot"))?;
        let between = |from: u64, to: u64| {
            let bytes = to.checked_sub(from).and_then(|bytes| usize::try_from(bytes).ok());
            read(from, bytes.ok_or_else(|| damaged("has a bad foot"))?)
        };
        let foot = read_foot(&read(foot_at, FOOT)?, &summary);
        let Foot { index_at, filter_at } = foot.ok_or_else(|| damaged("has a bad foot"))?;
        let index = between(index_at, foot_at)?;
        let (places, last) =
            read_index(&index, summary.salt, index_at).ok_or_else(|| damaged("has a bad index"))?;
        let filter = match filter_at {
            Some(at) => read_filter(&between(at, index_at)?, summary.salt, at),
            None => None,
        };
        let has_bad_filter = filter_at.is_some() && filter.is_none();
        Ok(Self { summary, file, places, last, filter, has_bad_filter })
    }

    /// False where the file does not have this key for certain, by its filter.
    pub(crate) fn may_have(&self, key: &Key) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_have(key))
    }

    /// The memory that the filter takes, in bytes.
    pub(crate) fn filter_bytes(&self) -> usize {
        self.filter.as_ref().map_or(0, Filter::bytes)
    }

    /// About the bytes of the file that belong to keys with this first byte: right to a block.
    pub(crate) fn bytes_of(&self, first_byte: u8) -> u64 {
        let (first, last) = self.range();
        if (first.first_byte(), last.first_byte()) == (Some(first_byte), Some(first_byte)) {
            return self.summary.bytes;
        }
        let from = self.places.partition_point(|place| place.first.first_byte() < Some(first_byte));
        let to = self.places.partition_point(|place| place.first.first_byte() <= Some(first_byte));
        let places = self.places.get(from..to).unwrap_or_default();
        places.iter().map(|place| u64::from(place.bytes)).sum()
    }

    /// The first and the last key.
    pub(crate) fn range(&self) -> (Key, Key) {
        (self.places.first().map_or(Key::FIRST, |place| place.first), self.last)
    }

    pub(crate) const fn blocks(&self) -> usize {
        self.places.len()
    }

    /// The first block that may hold this key, or keys behind it.
    pub(crate) fn block_of(&self, key: &Key) -> usize {
        self.places.partition_point(|place| place.first <= *key).saturating_sub(1)
    }

    /// Reads a block. One that is not what was written is no error: only its keys are lost.
    ///
    /// # Errors
    /// Where the system can't read it: nobody knows what it holds, and another try may succeed.
    pub(crate) fn block(&self, index: usize) -> Result<Block, GroundError> {
        let Some(place) = self.places.get(index) else { return Ok(Block::Good(Bytes::new())) };
        let mut bytes = vec![0; place.bytes as usize];
        let read = self.file.read_at(place.at, &mut bytes);
        read.map_err(|error| GroundError::io(&self.summary.name(), error))?;
        let length = checked(&bytes, seed(self.summary.salt, place.at));
        let bytes = length.map(|length| Bytes::from(bytes).slice(..length));
        Ok(match bytes.filter(|bytes| block::is_whole(bytes)) {
            Some(bytes) => Block::Good(bytes),
            None => {
                let to = self.places.get(index + 1).map(|place| place.first);
                Block::Bad { from: place.first, to }
            }
        })
    }

    /// The place of a block in the file, for a message.
    pub(crate) fn offset(&self, index: usize) -> u64 {
        self.places.get(index).map_or(0, |place| place.at)
    }
}

/// The length of what stands before a right checksum.
fn checked(bytes: &[u8], seed: u64) -> Option<usize> {
    let length = bytes.len().checked_sub(CHECKSUM)?;
    (xxh3_64_with_seed(bytes.get(..length)?, seed) == word(bytes, length)?).then_some(length)
}

fn read_foot(foot: &[u8], summary: &Summary) -> Option<Foot> {
    let length = FOOT - CHECKSUM;
    let is_whole = foot.starts_with(&MAGIC) && xxh3_64(foot.get(..length)?) == word(foot, length)?;
    let is_own = word(foot, 8)? == summary.id && word(foot, 16)? == summary.salt;
    // Zero where the file has none: no filter comes before the first block.
    let filter_at = Some(word(foot, 32)?).filter(|at| *at > 0);
    (is_whole && is_own).then_some(Foot { index_at: word(foot, 24)?, filter_at })
}

fn write_foot(summary: &Summary, foot: Foot) -> Vec<u8> {
    let Foot { index_at, filter_at } = foot;
    let mut foot = MAGIC.to_vec();
    for word in [summary.id, summary.salt, index_at, filter_at.unwrap_or(0)] {
        foot.extend_from_slice(&word.to_le_bytes());
    }
    foot.resize(FOOT - CHECKSUM, 0);
    foot.extend_from_slice(&xxh3_64(&foot).to_le_bytes());
    foot
}

/// The seed of a filter's checksum.
fn filter_seed(salt: u64, at: u64) -> u64 {
    !seed(salt, at)
}

fn read_filter(bytes: &[u8], salt: u64, at: u64) -> Option<Filter> {
    let length = checked(bytes, filter_seed(salt, at))?;
    Filter::read(bytes.get(..length)?)
}

/// The places of the blocks, and the last key.
fn read_index(index: &Bytes, salt: u64, at: u64) -> Option<(Vec<Place>, Key)> {
    let length = checked(index, seed(salt, at))?;
    let pairs = block::read(&index.slice(..length))?;
    let (last, pairs) = pairs.split_last()?;
    let place = |(first, value): &(Key, Value)| {
        let value = value.as_ref()?;
        let bytes = u32::from_le_bytes(value.get(8..12)?.try_into().ok()?);
        Some(Place { first: *first, at: word(value, 0)?, bytes })
    };
    Some((pairs.iter().map(place).collect::<Option<_>>()?, last.0))
}

fn index(places: &[Place], last: Key) -> Vec<u8> {
    let mut index = Vec::new();
    for place in places {
        let value = [place.at.to_le_bytes().as_slice(), &place.bytes.to_le_bytes()].concat();
        block::push(&mut index, &place.first, Some(&value));
    }
    block::push(&mut index, &last, None);
    index
}
