//! Sorted files that are not where, or not what, the list says.

use bytes::Bytes;
use journal::{Disk, DiskFile};
use xxhash_rust::xxh3::Xxh3;

use super::{CHECKSUM, FOOT, MAGIC, Place, SortedFile, Summary, read_foot, seed, word};
use crate::Key;
use crate::block;
use crate::error::GroundError;
use crate::sizes::Sizes;

/// A file with a good foot.
pub(crate) struct Found {
    /// The name that it has.
    name: String,
    /// What its foot says. Nothing is said of its pairs.
    pub(crate) summary: Summary,
}

/// The sorted files of a folder that have a good foot, whatever their names are.
pub(crate) fn find<D: Disk>(disk: &D) -> Result<Vec<Found>, GroundError> {
    let names = disk.names().map_err(|error| GroundError::io("the folder", error))?;
    let mut found = Vec::new();
    for name in names {
        let io = |error| GroundError::io(&name, error);
        let file = disk.open(&name).map_err(io)?;
        let length = file.length().map_err(io)?;
        let Some(at) = length.checked_sub(FOOT as u64) else { continue };
        let mut foot = [0; FOOT];
        file.read_at(at, &mut foot).map_err(io)?;
        let summary = summary_of(&foot, length);
        found.extend(summary.map(|summary| Found { name, summary }));
    }
    Ok(found)
}

fn summary_of(foot: &[u8], bytes: u64) -> Option<Summary> {
    let (id, salt) = (word(foot, MAGIC.len())?, word(foot, MAGIC.len() + 8)?);
    let summary = Summary { id, salt, bytes, pairs: 0, removals: 0, sizes: Sizes::default() };
    read_foot(foot, &summary).map(|_| summary)
}

impl<F: DiskFile> SortedFile<F> {
    /// Opens a file under the name that it has.
    pub(crate) fn open_found<D: Disk<File = F>>(
        disk: &D,
        found: &Found,
    ) -> Result<Self, GroundError> {
        Self::open_named(disk, &found.name, found.summary.clone())
    }

    /// Opens a file without its index: its blocks are found by their checksums, up to the first one
    /// that is bad. `None` where there is no file, or no good block at its beginning.
    pub(crate) fn rescue<D: Disk<File = F>>(
        disk: &D,
        summary: Summary,
    ) -> Result<Option<Self>, GroundError> {
        let name = summary.name();
        let io = |error| GroundError::io(&name, error);
        let file = match disk.open(&name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io)?,
        };
        let length = usize::try_from(file.length().map_err(io)?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        file.read_at(0, &mut bytes).map_err(io)?;
        let (places, last) = blocks(&Bytes::from(bytes), summary.salt);
        let (filter, has_bad_filter) = (None, false);
        let rescued = Self { summary, file, places, last, filter, has_bad_filter };
        Ok((!rescued.places.is_empty()).then_some(rescued))
    }
}

/// The blocks from the beginning on, and the last key in them.
fn blocks(bytes: &Bytes, salt: u64) -> (Vec<Place>, Key) {
    let (mut places, mut last) = (Vec::<Place>::new(), Key::FIRST);
    let mut at = 0;
    while let Some((first, key, end)) = block(bytes, at, salt) {
        // The index begins with the first key of all.
        if places.first().is_some_and(|place| place.first >= first) {
            break;
        }
        let Ok(length) = u32::try_from(end - at) else { break };
        places.push(Place { first, at: at as u64, bytes: length });
        (last, at) = (key, end);
    }
    (places, last)
}

/// The first and the last key of the block at a place, and where it ends.
fn block(bytes: &Bytes, at: usize, salt: u64) -> Option<(Key, Key, usize)> {
    let mut checksum = Xxh3::with_seed(seed(salt, at as u64));
    let (mut from, mut first) = (at, None);
    loop {
        let (key, _, end) = block::read_pair(bytes, from)?;
        let first = *first.get_or_insert(key);
        checksum.update(bytes.get(from..end)?);
        if word(bytes, end)? == checksum.digest() {
            return Some((first, key, end + CHECKSUM));
        }
        from = end;
    }
}
