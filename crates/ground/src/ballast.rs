//! The ballast: a file of zeros that is there to be given up. On a disk with nothing free a store
//! can't be opened, since the manifest and the list are written anew, and no checkpoint gives room
//! back. The bytes of the ballast are enough for both.

use std::io;

use journal::{Disk, DiskFile};

const NAME: &str = "ballast";
/// Until it has its length the file has another name.
const NEW: &str = "ballast.new";
/// It is made where so many times its bytes are free: what was given up is not taken again at once.
const FREE: u64 = 8;
/// Zeros are written in parts of this size, each of which is synced, so that the syncs of records
/// do not wait behind the whole file.
const PART_BYTES: usize = 4 << 20;

/// Makes the ballast where it is missing and the disk has room; false where nothing was done.
///
/// # Errors
/// Where the system can't.
pub(crate) fn make<D: Disk>(disk: &D, bytes: u64) -> io::Result<bool> {
    let has_room = disk.free_bytes().is_none_or(|free| free >= bytes.saturating_mul(FREE));
    let names = disk.names()?;
    let is_there = |name: &str| names.iter().any(|other| other == name);
    if bytes == 0 || !has_room || is_there(NAME) {
        return Ok(false);
    }
    if is_there(NEW) {
        disk.remove(NEW)?;
    }
    fill(disk, bytes).inspect_err(|_| {
        // It would only take room.
        let _ = disk.remove(NEW);
    })?;
    disk.rename(NEW, NAME)?;
    disk.sync_names()?;
    Ok(true)
}

fn fill<D: Disk>(disk: &D, bytes: u64) -> io::Result<()> {
    let (file, zeros, mut at) = (disk.create(NEW)?, vec![0; PART_BYTES], 0);
    while at < bytes {
        let count = usize::try_from(bytes - at).unwrap_or(PART_BYTES).min(PART_BYTES);
        file.write_at(at, zeros.get(..count).unwrap_or_default())?;
        file.sync()?;
        at += count as u64;
    }
    Ok(())
}

/// Gives the ballast up; false where there is none.
pub(crate) fn give_up<D: Disk>(disk: &D) -> bool {
    let is_gone = disk.remove(NAME).and_then(|()| disk.sync_names()).is_ok();
    if is_gone {
        tracing::warn!(
            "the disk of the store is full: the store has given up its ballast, which is made \
             again when the disk has room"
        );
    }
    is_gone
}
