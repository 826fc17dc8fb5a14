//! A store that is being made in a data folder. Until it is complete and durable it has another
//! name, so that a crash leaves no part of a store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::Folder;

use super::super::{Store as _, StoreError, private};
use super::{FOLDER, GroundStore, in_use, tighten};

/// The name of a store that is not complete.
const NEW_FOLDER: &str = "store.new";

/// Makes a store in a data folder that is absent or empty, or has nothing but what was left of a
/// store that was not completed. `fill` is given the folder for the store's files, which is for the
/// user of this process alone, and makes them durable.
///
/// # Errors
/// Where the folder is not empty or can't be used, another process makes a store in it, or those of
/// `fill`. Nothing of the new store is left then.
pub(crate) fn make<T>(
    data_dir: &Path,
    fill: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let parents = parents_of_new(data_dir);
    private::create_folder(data_dir).map_err(StoreError::Folder)?;
    let mut entries = std::fs::read_dir(data_dir).map_err(StoreError::Folder)?;
    if entries.any(|entry| !entry.is_ok_and(|entry| entry.file_name() == NEW_FOLDER)) {
        return Err(StoreError::NotEmpty);
    }
    let made = make_new(data_dir, |new| {
        private::create_folder(new).map_err(StoreError::Folder)?;
        let made = fill(new)?;
        tighten(data_dir, new);
        Ok(made)
    })?;
    finish(data_dir)?;
    parents.iter().try_for_each(|parent| sync(parent)).map_err(StoreError::Folder)?;
    Ok(made)
}

/// The folders that get a new entry where this one is made with its parents.
fn parents_of_new(folder: &Path) -> Vec<PathBuf> {
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let of_here = |parent: &Path| {
        if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() }
    };
    missing.filter_map(|folder| folder.parent().map(of_here)).collect()
}

/// Gives `fill` the folder of a store that is not complete. What was left there before is removed;
/// and, where `fill` fails, what it made: its room is needed, and the next try begins anew.
pub(super) fn make_new<T>(
    data_dir: &Path,
    fill: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let new = data_dir.join(NEW_FOLDER);
    if new.exists() {
        let locked = Folder::lock(&new);
        if locked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return Err(in_use(&new));
        }
    }
    remove(&new)?;
    fill(&new).inspect_err(|_| {
        let _ = remove(&new);
    })
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Folder(error)),
        _ => Ok(()),
    }
}

/// Gives a store that is complete and durable its name.
pub(super) fn finish(data_dir: &Path) -> Result<(), StoreError> {
    let new = data_dir.join(NEW_FOLDER);
    std::fs::rename(&new, data_dir.join(FOLDER)).map_err(|error| {
        let _ = remove(&new);
        StoreError::Folder(error)
    })?;
    sync(data_dir).map_err(StoreError::Folder)
}

/// Makes the names in a folder durable. Windows has no such call.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

impl GroundStore {
    /// Makes a store in a data folder that is absent or empty, filled by `fill`; see [`make`].
    ///
    /// # Errors
    /// As [`make`].
    pub(crate) fn begin_in<T>(
        data_dir: &Path,
        fill: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        make(data_dir, |new| Self::fill(data_dir, new, fill))
    }

    /// Makes a store in this folder. It is durable afterwards.
    pub(super) fn fill<T>(
        data_dir: &Path,
        new: &Path,
        fill: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut store = Self::open_in(data_dir, new, Arc::new(|| {}))?;
        let filled = fill(&mut store)?;
        store.close()?;
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_could_not_be_filled_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let fails = |_: &mut GroundStore| Err::<(), _>(StoreError::Corrupt("job"));
        GroundStore::begin_in(folder.path(), fails).unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        GroundStore::begin_in(folder.path(), |_| Ok(())).unwrap();
        assert!(folder.path().join(FOLDER).exists() && !folder.path().join(NEW_FOLDER).exists());
    }

    #[test]
    fn a_store_that_can_not_get_its_name_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let made = make(folder.path(), |new| {
            std::fs::write(new.join("list"), "all of it").unwrap();
            let other = folder.path().join(FOLDER);
            std::fs::create_dir(&other).unwrap();
            std::fs::write(other.join("list"), "of somebody else").unwrap();
            Ok(())
        });
        assert!(matches!(made, Err(StoreError::Folder(_))), "{made:?}");
        assert!(!folder.path().join(NEW_FOLDER).exists());
    }

    #[test]
    fn what_was_left_of_a_store_is_replaced_unless_it_is_being_made() {
        let folder = tempfile::tempdir().unwrap();
        let (data_dir, left) = (folder.path().join("a/b"), folder.path().join("a/b/store.new"));
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("list"), "half of it").unwrap();
        let lock = Folder::lock(&left).unwrap();
        let refused = make(&data_dir, |_| Ok(()));
        assert!(matches!(refused, Err(StoreError::InUse { .. })), "{refused:?}");
        drop(lock);
        make(&data_dir, |new| {
            assert_eq!(std::fs::read_dir(new).unwrap().count(), 0);
            Ok(())
        })
        .unwrap();
        assert!(data_dir.join(FOLDER).exists() && !left.exists());
        assert!(matches!(make(&data_dir, |_| Ok(())), Err(StoreError::NotEmpty)));
    }

    #[test]
    fn the_parents_that_are_made_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let parents = parents_of_new(&folder.path().join("a/b"));
        assert_eq!(parents, [folder.path().join("a"), folder.path().to_owned()]);
        assert!(parents_of_new(folder.path()).is_empty());
        assert_eq!(parents_of_new(Path::new("not-there")), [PathBuf::from(".")]);
    }
}
