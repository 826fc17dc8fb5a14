//! Who may read the store: the user of this process alone. Jobs carry what others must not read.

use std::io;
use std::path::Path;

/// Makes a folder that only its owner may enter, with its parents; one that is there stays as it
/// is. On Windows the folder inherits the rights of its parent.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Takes the rights of group and others away from the store and all files in it. From the data
/// folder itself only where it holds nothing but the store: it may be a folder of everybody, such
/// as `/tmp`.
///
/// # Errors
/// The first file whose rights can't be changed, after all others were tried.
#[cfg(unix)]
pub(super) fn tighten(data_folder: &Path, store: &Path) -> io::Result<()> {
    let mut result = tighten_tree(store);
    let is_own = std::fs::read_dir(data_folder)?.all(|entry| {
        entry.is_ok_and(|entry| Some(entry.file_name().as_os_str()) == store.file_name())
    });
    if is_own {
        result = result.and(tighten_one(data_folder));
    }
    result
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "rights are changed on Unix alone")]
pub(super) const fn tighten(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn tighten_tree(folder: &Path) -> io::Result<()> {
    let mut result = tighten_one(folder);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // The kind of a link is that of the link itself: none is followed.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            result = result.and(tighten_tree(&entry.path()));
        } else if kind.is_file() {
            result = result.and(tighten_one(&entry.path()));
        }
    }
    result
}

/// Changes the rights only where group or others have some, so that a store that is private
/// already can be opened by a process that may not change it.
#[cfg(unix)]
fn tighten_one(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mut rights = std::fs::metadata(path)?.permissions();
    if rights.mode() & 0o077 == 0 {
        return Ok(());
    }
    rights.set_mode(rights.mode() & 0o700);
    std::fs::set_permissions(path, rights)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use std::sync::Arc;

    use super::*;
    use crate::store::GroundStore;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn all_below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| {
                let below = if path.is_dir() { all_below(&path) } else { Vec::new() };
                [path].into_iter().chain(below)
            })
            .collect()
    }

    #[test]
    fn a_new_store_and_its_folders_can_be_entered_by_their_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/data");
        drop(GroundStore::open(&folder, Arc::new(|| {})).unwrap());
        for made in [root.path().join("a"), folder.clone(), folder.join("store")] {
            assert_eq!(mode(&made), 0o700, "{}", made.display());
        }
    }

    #[test]
    fn a_store_that_others_could_read_is_theirs_no_longer_once_it_is_opened() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("data");
        drop(GroundStore::open(&folder, Arc::new(|| {})).unwrap());
        for path in all_below(&folder).iter().chain([&folder]) {
            set(path, if path.is_dir() { 0o755 } else { 0o644 });
        }
        let store = GroundStore::open(&folder, Arc::new(|| {})).unwrap();
        let files = all_below(&folder);
        assert!(files.len() > 3, "{files:?}");
        // What is made while the store opens lies below folders that are closed.
        for path in files.iter().chain([&folder]).filter(|path| path.is_dir()) {
            assert_eq!(mode(path) & 0o077, 0, "{}", path.display());
        }
        drop(store);
    }

    #[test]
    fn a_folder_that_holds_other_things_too_and_what_links_name_keep_their_rights() {
        let root = tempfile::tempdir().unwrap();
        let (shared, elsewhere) = (root.path().join("shared"), root.path().join("elsewhere"));
        std::fs::create_dir(&shared).unwrap();
        std::fs::write(shared.join("other"), "").unwrap();
        std::fs::write(&elsewhere, "").unwrap();
        for path in [&shared, &elsewhere] {
            set(path, 0o777);
        }
        std::fs::create_dir(shared.join("store")).unwrap();
        symlink(&elsewhere, shared.join("store/link")).unwrap();
        std::fs::write(shared.join("store/journal"), "").unwrap();
        tighten(&shared, &shared.join("store")).unwrap();
        assert_eq!((mode(&shared), mode(&elsewhere)), (0o777, 0o777));
        assert_eq!(mode(&shared.join("store/journal")) & 0o077, 0);
        assert_eq!(mode(&shared.join("store")), 0o700);
    }
}
