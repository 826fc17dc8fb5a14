//! Keeps what can be kept of a damaged store, in a new folder.

use std::fmt;
use std::path::Path;

use faktory_wire::Timestamp;
use ground::Contents;
use journal::FolderFile;

use crate::machine::{Gathered, Mended};
use crate::store::{self, GroundStore, Key, Store, StoreError};
use crate::verify::{faults_of, lock};

/// So many bytes become durable at a time.
const SYNC_BYTES: usize = 4 << 20;

/// What a repair has kept, and what it has not.
#[derive(Debug)]
pub struct Repaired {
    /// Everything that was wrong with the old files, a line for each.
    pub faults: Vec<String>,
    /// What became of the jobs.
    pub jobs: Mended,
}

/// Writes what can be kept of the store in one data folder into another, which is absent or empty.
/// The old one is not changed. Memory is needed for what the journal did since the last checkpoint,
/// and about a hundred bytes for each job. Until the new store is complete, it has another name, so
/// that no broker opens a part of it.
///
/// # Errors
/// Where the old store is absent, in use or can't be read, or the new one can't be written.
pub fn repair(data_dir: &Path, new_data_dir: &Path) -> Result<Repaired, StoreError> {
    repair_at(data_dir, new_data_dir, Timestamp::now())
}

/// As [`repair`]. `now` is the time at which jobs enter their queues of which only the body is
/// there.
fn repair_at(data_dir: &Path, new_data_dir: &Path, now: Timestamp) -> Result<Repaired, StoreError> {
    let disk = lock(&store::folder_of(data_dir)?)?;
    let (files, contents) = ground::salvage(&disk)?;
    let mut gathered = Gathered::default();
    contents.each(&mut |key, value| gathered.note(&key, &value))?;
    let write = |store: &mut GroundStore| {
        let mut mending = gathered.into_mending(now);
        each(&contents, &mut |key, value| {
            mending.take(store, &key, &value)?;
            if store.uncommitted_bytes() >= SYNC_BYTES { store.sync() } else { Ok(()) }
        })?;
        let mended = mending.end(store)?;
        store.sync()?;
        Ok(mended)
    };
    let jobs = GroundStore::begin_in(new_data_dir, write)?;
    Ok(Repaired { faults: faults_of(&files), jobs })
}

/// Hands out the pairs until one is not taken.
fn each(
    contents: &Contents<FolderFile>,
    take: &mut dyn FnMut(Key, bytes::Bytes) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut result = Ok(());
    contents.each(&mut |key, value| {
        if result.is_ok() {
            result = take(key, value);
        }
    })?;
    result
}

impl Repaired {
    /// True where all was kept that the old store had.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        let Mended { without_body, unreadable, .. } = self.jobs;
        self.faults.is_empty() && without_body == 0 && unreadable == 0
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|fault| writeln!(f, "not kept: {fault}"))?;
        let Mended { counted, kept, put_at_end, without_body, older_entries, removed, unreadable } =
            self.jobs;
        for (count, what) in
            [(without_body, "jobs without a body"), (unreadable, "records that can't be read")]
        {
            if count > 0 {
                writeln!(f, "not kept: {count} {what}")?;
            }
        }
        for (count, what) in [
            (older_entries, "older places of jobs that had moved since"),
            (removed, "jobs of removed queues, which were to be deleted"),
        ] {
            if count > 0 {
                writeln!(f, "left out: {count} {what}")?;
            }
        }
        if put_at_end > 0 {
            writeln!(
                f,
                "{put_at_end} jobs, of which only the body was left, were put at the end of their \
                 queues, or scheduled where they name a time: they may have run already"
            )?;
        }
        writeln!(f, "{kept} jobs were kept; the old store had {counted} by its own count")
    }
}

#[cfg(test)]
pub(crate) mod tests;
