//! Reads all that can be read of a damaged store, also what an open store would not trust.

use std::sync::Arc;

use journal::Disk;

use super::{Contents, Verified, check_journal, read_blocks, read_journal, read_list};
use crate::error::GroundError;
use crate::file::{self, Found, SortedFile, Summary};
use crate::merge::Counts;
use crate::run::Run;
use crate::tree::List;

/// As [`verify`](super::verify()), but hands out all that can be read:
///
/// - A value comes to light where the block with a newer value, or the removal, is bad.
/// - A sorted file is known by its foot, whatever its name is. One without a good foot or index is
///   read up to the first block that is bad.
/// - Without a list all sorted files count. It is not known then which is the newer one, and the
///   removal of a key counts more than its values, unless the journal has the key.
///
/// # Errors
/// Where the system can't read a file, or a file has another format.
pub fn salvage<D: Disk>(disk: &D) -> Result<(Verified, Contents<D::File>), GroundError> {
    let mut found = Verified::default();
    let list = read_list(disk, &mut found)?;
    let (memory, is_clear) = read_journal(disk, list.as_ref(), &mut found)?;
    let on_disk = file::find(disk)?;
    let (runs, counts) = match list {
        Some(list) => {
            check_journal(&list, &mut found);
            (listed(disk, list, &on_disk, &mut found)?, Counts::NewestFound)
        }
        None => (all(disk, on_disk, &mut found)?, Counts::Removal),
    };
    let runs = if is_clear { Vec::new() } else { runs };
    Ok((found, Contents { memory, runs, counts }))
}

fn listed<D: Disk>(
    disk: &D,
    list: List,
    on_disk: &[Found],
    found: &mut Verified,
) -> Result<Vec<Run<D::File>>, GroundError> {
    let mut runs = Vec::new();
    for listed in list.runs {
        for summary in listed.files {
            found.files += 1;
            let opened = match SortedFile::open(disk, summary.clone()) {
                Err(GroundError::Damaged { file, what }) => {
                    found.fault(&file, what);
                    rescued(disk, summary, on_disk)?
                }
                opened => Some(opened?),
            };
            // A run of its own: the range of a file that was rescued is not known for certain.
            runs.extend(run(opened, found)?);
        }
    }
    Ok(runs)
}

/// A file that does not open, found under another name, or read without its index.
fn rescued<D: Disk>(
    disk: &D,
    summary: Summary,
    on_disk: &[Found],
) -> Result<Option<SortedFile<D::File>>, GroundError> {
    let own = |found: &&Found| (found.summary.id, found.summary.salt) == (summary.id, summary.salt);
    if let Some(other) = on_disk.iter().find(own) {
        match SortedFile::open_found(disk, other) {
            Err(GroundError::Damaged { .. }) => {}
            opened => return opened.map(Some),
        }
    }
    SortedFile::rescue(disk, summary)
}

/// All files, the newest by their numbers first.
fn all<D: Disk>(
    disk: &D,
    mut on_disk: Vec<Found>,
    found: &mut Verified,
) -> Result<Vec<Run<D::File>>, GroundError> {
    on_disk.sort_by_key(|found| std::cmp::Reverse(found.summary.id));
    // A file may stand there twice, under two names.
    on_disk.dedup_by_key(|found| found.summary.id);
    let mut runs = Vec::new();
    for file in on_disk {
        found.files += 1;
        let opened = match SortedFile::open_found(disk, &file) {
            Err(GroundError::Damaged { file: name, what }) => {
                found.fault(&name, what);
                SortedFile::rescue(disk, file.summary)?
            }
            opened => Some(opened?),
        };
        runs.extend(run(opened, found)?);
    }
    Ok(runs)
}

fn run<D: journal::DiskFile>(
    file: Option<SortedFile<D>>,
    found: &mut Verified,
) -> Result<Option<Run<D>>, GroundError> {
    let Some(file) = file else { return Ok(None) };
    read_blocks(&file, found)?;
    Ok(Some(Run { files: vec![Arc::new(file)], replacing: 0 }))
}
