//! Reads all of a store that no process has open, and says what is in it and what is wrong.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use faktory_wire::Excerpt;
use ground::GroundError;
use journal::Folder;

use crate::machine::{Survey, Tables};
use crate::store::{self, Key, StoreError, Table, name_of};

/// What is in a store, and what is wrong with it. Its text is for a person.
#[derive(Debug)]
pub struct StoreReport {
    /// The folder of the store within the data folder.
    pub folder: PathBuf,
    /// The journal and the sorted files.
    pub files: ground::Verified,
    /// The jobs, and whether the tables agree.
    pub tables: Tables,
}

/// Reads all of the store in this data folder. Nothing is changed. Memory is needed for what the
/// journal did since the last checkpoint, and about nine bytes for each job.
///
/// # Errors
/// Where there is no store, a process has it open, a file can't be read, or the format is another.
/// What is damaged is no error: it is in the report.
pub fn verify(data_dir: &Path) -> Result<StoreReport, StoreError> {
    let folder = store::folder_of(data_dir)?;
    read(&lock(&folder)?, folder)
}

/// Reads all of a store.
pub(crate) fn read(disk: &Folder, folder: PathBuf) -> Result<StoreReport, StoreError> {
    let (files, contents) = ground::verify(disk)?;
    let mut survey = Survey::default();
    contents.each(&mut |key, value| survey.note(&key, &value))?;
    Ok(StoreReport { folder, files, tables: survey.end() })
}

/// Locks the folder of a store to read it.
pub(crate) fn lock(folder: &Path) -> Result<Folder, StoreError> {
    Folder::lock_to_read(folder).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => store::in_use(folder),
        _ => GroundError::Io { file: folder.display().to_string(), error }.into(),
    })
}

/// Everything that is wrong with the files, a line for each.
pub(crate) fn faults_of(files: &ground::Verified) -> Vec<String> {
    let ground::Verified { journal, bad_blocks, faults, unknown_records, .. } = files;
    let of_journal = journal.files.iter().map(|fault| format!("{} {}", fault.file, fault.what));
    let lost = journal.lost.iter().map(|damage| match damage.lost {
        (first, Some(last)) => format!(
            "records {first} to {last} of the journal can't be read ({} from byte {} on)",
            damage.file, damage.offset
        ),
        (first, None) => format!("the records of the journal from {first} on can't be read"),
    });
    let unknown = unknown_records.iter();
    let unknown = unknown.map(|number| format!("record {number} of the journal has no sense"));
    let of_files = faults.iter().map(|fault| format!("{} {}", fault.file, fault.what));
    let blocks = bad_blocks.iter().map(|block| {
        format!(
            "a block of {} is not what was written (byte {}): it had keys from {} to before {}",
            block.file,
            block.offset,
            Named(&block.from),
            Named(&block.to)
        )
    });
    let all = of_journal.chain(lost).chain(unknown).chain(of_files).chain(blocks);
    all.collect()
}

impl StoreReport {
    /// True where nothing is missing and everything agrees. An unsynced tail is no fault.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.files.is_whole() && self.tables.faults.is_empty()
    }

    /// Everything that is wrong, a line for each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let of_files = faults_of(&self.files);
        of_files.into_iter().chain(self.tables.faults.iter().cloned()).collect()
    }
}

/// A key, with the name of its table.
struct Named<'a>(&'a Key);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Table::of(self.0) {
            Some(table) => write!(f, "{} ", table.name())?,
            None => return write!(f, "{}", self.0),
        }
        name_of(self.0).iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for StoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ground::Verified { journal, through, files, pairs, .. } = &self.files;
        writeln!(f, "store {}", Excerpt(self.folder.display()))?;
        writeln!(
            f,
            "  journal: {} records in {} segments, the last is {}; {} was synced for certain",
            journal.records, journal.segments, journal.last, journal.durable
        )?;
        if let Some(tail) = &journal.tail {
            writeln!(f, "  {tail}")?;
        }
        writeln!(f, "  sorted files: {files}, with {pairs} pairs, up to record {through}")?;
        writeln!(f, "  jobs: {}", self.tables.jobs)?;
        for (name, jobs) in &self.tables.queues {
            writeln!(f, "    queue {}: {jobs}", Excerpt(name))?;
        }
        for (name, jobs) in &self.tables.sets {
            writeln!(f, "    {name}: {jobs}")?;
        }
        if self.tables.removed > 0 {
            writeln!(f, "    of removed queues, to be deleted: {}", self.tables.removed)?;
        }
        self.faults().iter().try_for_each(|fault| writeln!(f, "fault: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::store::{Batch, GroundStore, Store};

    /// A store of some sorted files and a journal, closed in order.
    fn written(data_dir: &Path) {
        let mut store = GroundStore::open(data_dir, Arc::new(|| {})).unwrap();
        drop(crate::Machine::open(&mut store, 1, 10).unwrap());
        for number in 1..=40_u64 {
            let mut batch = Batch::default();
            batch.put(Table::Bodies, number.to_be_bytes(), vec![7; 1 << 20]);
            store.write(batch).unwrap();
            store.sync().unwrap();
        }
        store.close().unwrap();
    }

    fn bytes_in(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    #[test]
    fn a_store_is_read_and_left_as_it_was_and_a_bad_block_is_named() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let place = folder.path().join("store");
        let before = bytes_in(&place);
        let report = verify(folder.path()).unwrap();
        assert!(report.files.is_whole(), "{report}");
        assert_eq!((report.tables.jobs, report.tables.without_entry), (40, 40), "{report}");
        assert_eq!(bytes_in(&place), before);

        let sorted = before.keys().find(|path| path.extension().is_some_and(|end| end == "sorted"));
        let (sorted, mut bytes) = sorted.map(|path| (path, before[path].clone())).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(sorted, bytes).unwrap();
        let report = verify(folder.path()).unwrap();
        let text = report.to_string();
        let named = format!(
            "fault: a block of {} is not what was written (byte 0): it had keys from bodies \
             0000000000000001 to before bodies 0000000000000002",
            sorted.file_name().unwrap().to_str().unwrap()
        );
        assert!(text.contains(&named) && !report.is_whole(), "{text}");
        assert_eq!(report.tables.jobs, 39);
    }

    #[test]
    fn a_folder_that_is_open_or_has_no_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = verify(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "there is no store in it: name the folder that BROKER_DATA_DIR names");
        assert_eq!(bytes_in(folder.path()).len(), 0, "nothing was made");
        let store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        assert!(matches!(verify(folder.path()), Err(StoreError::InUse { .. })));
        drop(store);
        assert!(verify(folder.path()).unwrap().is_whole());
    }
}
