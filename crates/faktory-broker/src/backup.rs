//! Copies of a store: a backup, also while a broker runs, and what a backup is made into again.

use std::path::Path;

use journal::Folder;

use crate::store::{self, StoreError};
use crate::verify::{self, StoreReport, lock};

/// Copies the store in one data folder into another, which is absent or empty; a broker may have
/// the store open, and goes on meanwhile. The copy has all that was answered for when this was
/// called, and of what is answered meanwhile a part, as after a loss of power at some moment.
///
/// Where both are on the same file system they share the sorted files, which never change. The copy
/// is read whole, as by [`verify`](crate::verify()), before its store has its name. It has what is
/// damaged in the sorted files of the store too, and its report says so.
///
/// # Errors
/// Where there is no store, a file can't be read or written, the journal is damaged, or the other
/// folder is not empty. Nothing is left in the other folder then.
pub fn backup(data_dir: &Path, target: &Path) -> Result<StoreReport, StoreError> {
    let folder = store::folder_of(data_dir)?;
    copy(&Folder::without_lock(folder), target, |_| Ok(()))
}

/// Makes a backup, or another data folder that no broker uses, into a data folder, which is absent
/// or empty. The backup is left as it was; where both are on the same file system they share the
/// sorted files, which never change.
///
/// # Errors
/// As [`backup`]; also where anything of the backup is damaged, or a process uses it.
pub fn restore(backup: &Path, data_dir: &Path) -> Result<StoreReport, StoreError> {
    let disk = lock(&store::folder_of(backup)?)?;
    copy(&disk, data_dir, |report| {
        if report.is_whole() {
            Ok(())
        } else {
            Err(StoreError::Damaged(report.faults().join("; ")))
        }
    })
}

fn copy(
    from: &Folder,
    data_dir: &Path,
    check: impl FnOnce(&StoreReport) -> Result<(), StoreError>,
) -> Result<StoreReport, StoreError> {
    let mut report = store::make(data_dir, |new| {
        let to = Folder::lock(new).map_err(StoreError::Folder)?;
        let tries = ground::backup(from, &to)?;
        tracing::debug!(tries, "the store was copied");
        let report = verify::read(&to, new.to_owned())?;
        check(&report).map(|()| report)
    })?;
    report.folder = store::folder_of(data_dir)?;
    Ok(report)
}

#[cfg(test)]
mod tests;
