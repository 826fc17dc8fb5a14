//! Copies a store, also while another process changes it.

use std::io;

use journal::document;
use journal::{CopyError, Disk, DiskFile, OpenError};

use crate::error::GroundError;
use crate::tree::{self, LIST};

/// A copy is begun so often at most. One that is begun anew has little of the journal to copy,
/// because a checkpoint was written just before.
const TRIES: usize = 20;
/// Bytes of sorted files are copied in parts of this size.
const PART_BYTES: usize = 1 << 20;
/// After so many parts the file is synced, so that the syncs of others do not wait behind a whole
/// file.
const PARTS_PER_SYNC: usize = 4;

/// Why one try came to nothing.
enum Failed {
    /// The store was changed in a way that makes what was copied useless.
    Changed,
    /// What was read is damaged, or was being written.
    Damaged(GroundError),
    /// Another try would fail too.
    ForGood(GroundError),
}

/// Copies the store in one folder into another, which has none, durably. Another process may have
/// the store open, and goes on meanwhile: nothing is changed for it, and nothing waits. All that
/// was committed when this was called is in the copy.
///
/// Sorted files never change: where the disk can, both folders share them ([`Disk::link`]). Of the
/// journal the records since the last checkpoint are copied. Where a checkpoint takes some of them
/// back meanwhile, the copy is begun anew. Returns how often it was begun.
///
/// # Errors
/// Where a file can't be read or written, something is damaged, or the store changed faster than it
/// could be copied. The other folder has no store then, but may have files of one.
pub fn backup<D: Disk>(from: &D, to: &D) -> Result<usize, GroundError> {
    let before = names(to)?;
    let mut last = changed();
    for tries in 1..=TRIES {
        for name in names(to)?.into_iter().filter(|name| !before.contains(name)) {
            to.remove(&name).map_err(|error| GroundError::io(&name, error))?;
        }
        match attempt(from, to) {
            Ok(()) => return Ok(tries),
            Err(Failed::Changed) => last = changed(),
            Err(Failed::Damaged(error)) => last = error,
            Err(Failed::ForGood(error)) => return Err(error),
        }
    }
    Err(last)
}

fn changed() -> GroundError {
    let busy = io::Error::other("it changed faster than it could be copied");
    GroundError::io("the store", busy)
}

fn names<D: Disk>(disk: &D) -> Result<Vec<String>, GroundError> {
    disk.names().map_err(|error| GroundError::io("the folder", error))
}

fn attempt<D: Disk>(from: &D, to: &D) -> Result<(), Failed> {
    let list = tree::read_list(from)?;
    let list = list.ok_or_else(|| Failed::Damaged(GroundError::damaged(LIST, "is missing")))?;
    // All files are held before the journal is read: the reading is not to wait for their bytes.
    let mut held = Vec::new();
    for summary in list.runs.iter().flat_map(|run| &run.files) {
        let name = summary.name();
        let is_shared = from.link(&name, to).map_err(|error| gone(&name, error))?;
        if !is_shared {
            let file = from.open(&name).map_err(|error| gone(&name, error))?;
            held.push((name, file));
        }
    }
    journal::copy(from, to, list.through.next())?;
    for (name, file) in held {
        copy(&file, to, &name).map_err(|error| Failed::ForGood(GroundError::io(&name, error)))?;
    }
    // The last one of all, with the names of all others.
    document::write(to, LIST, &list).map_err(|error| Failed::ForGood(GroundError::io(LIST, error)))
}

/// A file that is not there was merged since the list was read, or is missing.
fn gone(name: &str, error: io::Error) -> Failed {
    if error.kind() == io::ErrorKind::NotFound {
        Failed::Damaged(GroundError::damaged(name, "is missing"))
    } else {
        Failed::ForGood(GroundError::io(name, error))
    }
}

fn copy<D: Disk>(file: &D::File, to: &D, name: &str) -> io::Result<()> {
    let copy = to.create(name)?;
    let (length, mut at, mut parts) = (file.length()?, 0, 0);
    let mut part = vec![0; PART_BYTES];
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(PART_BYTES).min(PART_BYTES);
        part.truncate(count);
        file.read_at(at, &mut part)?;
        copy.write_at(at, &part)?;
        at += count as u64;
        parts += 1;
        if parts % PARTS_PER_SYNC == 0 {
            copy.sync()?;
        }
    }
    copy.sync()
}

impl From<CopyError> for Failed {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Cut => Self::Changed,
            CopyError::Failed(error @ OpenError::Damaged(_)) => Self::Damaged(error.into()),
            CopyError::Failed(error) => Self::ForGood(error.into()),
        }
    }
}

impl From<GroundError> for Failed {
    fn from(error: GroundError) -> Self {
        match error {
            GroundError::Damaged { .. } => Self::Damaged(error),
            error => Self::ForGood(error),
        }
    }
}
