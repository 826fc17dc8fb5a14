//! Backups in folders. Those that are taken under load are in `tests/it/backup.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::repair::tests::{jobs_of, push};
use crate::store::{Batch, GroundStore, Store};

/// A store of some sorted files with 30 large jobs, and a journal behind them with 10.
fn written(data_dir: &Path) -> GroundStore {
    let mut store = open(data_dir);
    push(&mut store, 0..30, 1 << 20);
    store.close().unwrap();
    drop(store);
    let mut store = open(data_dir);
    push(&mut store, 30..40, 1 << 20);
    store
}

fn open(data_dir: &Path) -> GroundStore {
    GroundStore::open(data_dir, Arc::new(|| {})).unwrap()
}

fn bytes_in(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn jobs(report: &StoreReport) -> (u64, Vec<String>) {
    (report.tables.jobs, report.faults())
}

#[test]
fn a_backup_of_an_open_store_shares_its_sorted_files_and_is_made_into_a_store_again() {
    let root = tempfile::tempdir().unwrap();
    let [data, copy, again] = ["data", "backups/1", "again"].map(|name| root.path().join(name));
    let mut store = written(&data);
    let report = backup(&data, &copy).unwrap();
    assert_eq!(jobs(&report), (40, vec![]));
    assert_eq!(report.folder, copy.join("store"));
    let of_copy = bytes_in(&copy.join("store"));
    let sorted = |path: &&PathBuf| path.extension().is_some_and(|end| end == "sorted");
    assert!(of_copy.keys().any(|path| sorted(&path)), "{:?}", of_copy.keys());
    #[cfg(unix)]
    for path in of_copy.keys() {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600, "{path:?}");
        assert_eq!(metadata.nlink(), if sorted(&path) { 2 } else { 1 }, "{path:?}");
    }
    // The store goes on, and merges its files away.
    store.replace_all(Batch::default()).unwrap();
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(&data).unwrap();

    assert_eq!(jobs(&restore(&copy, &again).unwrap()), (40, vec![]));
    let mut store = open(&again);
    assert_eq!(jobs_of(&store).len(), 40);
    store.replace_all(Batch::default()).unwrap();
    store.close().unwrap();
    assert_eq!(bytes_in(&copy.join("store")), of_copy, "the backup has changed");
    assert_eq!(jobs(&restore(&copy, &root.path().join("third")).unwrap()), (40, vec![]));
}

#[test]
fn a_backup_of_a_damaged_store_says_so_and_is_made_into_no_store() {
    let root = tempfile::tempdir().unwrap();
    let [data, copy, again] = ["data", "copy", "again"].map(|name| root.path().join(name));
    written(&data).close().unwrap();
    let of_data = bytes_in(&data.join("store"));
    let sorted = of_data.keys().find(|path| path.extension().is_some_and(|end| end == "sorted"));
    let mut bytes = of_data[sorted.unwrap()].clone();
    bytes[1000] ^= 1;
    std::fs::write(sorted.unwrap(), bytes).unwrap();
    let (jobs, faults) = jobs(&backup(&data, &copy).unwrap());
    assert_eq!(jobs, 39);
    assert!(faults[0].contains("is not what was written (byte 0)"), "{faults:?}");
    let error = restore(&copy, &again).unwrap_err();
    assert!(error.to_string().contains(&faults[0]), "{error}");
    assert_eq!(std::fs::read_dir(&again).unwrap().count(), 0);

    // Without what the journal needs there is no backup.
    std::fs::remove_file(data.join("store/manifest")).unwrap();
    let error = backup(&data, &again).unwrap_err();
    assert!(error.to_string().contains("manifest is missing"), "{error}");
    assert_eq!(std::fs::read_dir(&again).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_not_empty_and_one_without_a_store_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let [data, copy] = ["data", "copy"].map(|name| root.path().join(name));
    let told = |result: Result<StoreReport, StoreError>| result.unwrap_err().to_string();
    assert!(told(backup(&data, &copy)).starts_with("there is no store in it"));
    assert!(!copy.exists(), "nothing was made");
    let store = written(&data);
    backup(&data, &copy).unwrap();
    for refused in [backup(&data, &copy), backup(&data, &data), restore(&copy, &data)] {
        let error = told(refused);
        assert_eq!(error, "the folder is not empty: name one that is, or that does not exist");
    }
    let other = root.path().join("other");
    assert!(matches!(restore(&data, &other), Err(StoreError::InUse { .. })));
    drop(store);
    restore(&data, &other).unwrap();
}
