//! The store on disk: a journal and sorted files, of the crate `ground`. A key is the letter of its
//! table and the key within the table.

mod carry_over;
mod new;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use faktory_wire::Excerpt;
use ground::{Ground, GroundError, Options};
use journal::{Folder, Wake};

pub(crate) use self::new::make;
use super::old::OldStore;
use super::private;
use super::{Batch, Change, Pair, SetAside, Store, StoreError, Table, between};

/// The folder of the store within the data folder.
const FOLDER: &str = "store";

/// The most files that the store holds open: about 120 sorted files, as many as a merge puts beside
/// them (a 32nd of all bytes each), and a few of the journal.
pub const STORE_FILES_MAX: usize = 256;

/// The store on disk. Only one process at a time can open a folder.
pub struct GroundStore {
    ground: Ground<Folder>,
    folder: PathBuf,
    uncommitted_bytes: usize,
}

/// Who has this folder open, where the system says it.
pub(crate) fn in_use(folder: &Path) -> StoreError {
    StoreError::InUse { process: holder(folder) }
}

/// The process that holds the lock, by the list that Linux gives of all locks. A process that this
/// one does not see has the number 0 there.
#[cfg(target_os = "linux")]
fn holder(folder: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;

    let file = std::fs::metadata(folder.join("lock")).ok()?;
    let (major, minor) = (nix::sys::stat::major(file.dev()), nix::sys::stat::minor(file.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let lock = locks.lines().find(|line| line.split_whitespace().any(|word| word == place))?;
    // "1: FLOCK ADVISORY WRITE", then the process.
    lock.split_whitespace().nth(4)?.parse().ok().filter(|process| *process != 0)
}

#[cfg(not(target_os = "linux"))]
const fn holder(_: &Path) -> Option<u32> {
    None
}

/// The folder of the store in this data folder, which has one.
///
/// # Errors
/// Where it has none.
pub(crate) fn folder_of(data_dir: &Path) -> Result<PathBuf, StoreError> {
    let folder = data_dir.join(FOLDER);
    match folder.try_exists() {
        Ok(true) => Ok(folder),
        Ok(false) if OldStore::is_in(data_dir) => Err(StoreError::Absent(
            " but that of an earlier version: start the broker once, which carries it over",
        )),
        Ok(false) => Err(StoreError::Absent(": name the folder that BROKER_DATA_DIR names")),
        Err(error) => Err(GroundError::Io { file: folder.display().to_string(), error }.into()),
    }
}

impl GroundStore {
    /// Opens the store in this folder; `wake` is called when more of it is durable. The store is
    /// made where there is none; one of an earlier version is carried over, and left as it was.
    /// Only the user of this process may read it: rights of others are taken away, or warned of
    /// where they can't be.
    ///
    /// # Errors
    /// Where the folder can't be used, another process uses it, or the store is damaged.
    pub fn open(folder: &Path, wake: Wake) -> Result<Self, StoreError> {
        let place = folder.join(FOLDER);
        if OldStore::is_in(folder) {
            if place.exists() {
                carry_over::warn_of_later_use(folder);
            } else {
                carry_over::carry_over(folder)?;
            }
        }
        Self::open_in(folder, &place, wake)
    }

    fn open_in(folder: &Path, place: &Path, wake: Wake) -> Result<Self, StoreError> {
        private::create_folder(place).map_err(StoreError::Folder)?;
        tighten(folder, place);
        let disk = Folder::lock(place).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => in_use(place),
            _ => StoreError::Folder(error),
        })?;
        let options = Options { filtered: Table::LETTERS_OF_IDS, ..Options::default() };
        let (ground, tail) = Ground::open(Arc::new(disk), options, wake)?;
        if let Some(tail) = tail {
            tracing::warn!("{tail}");
        }
        Ok(Self { ground, folder: place.to_owned(), uncommitted_bytes: 0 })
    }

    fn put(&mut self, change: Change) {
        self.uncommitted_bytes += change.bytes();
        self.ground.change(match change {
            Change::Put(key, value) if Table::of(&key) == Some(Table::Meta) => {
                ground::Change::Put(key, value)
            }
            // In all other tables a key has no value when it is put.
            Change::Put(key, value) => ground::Change::Insert(key, value),
            Change::Delete(key) => ground::Change::Remove(key),
            Change::Floor(key) => ground::Change::Floor(key),
        });
    }
}

/// Takes the rights of others away, or warns where that can't be done.
fn tighten(data_dir: &Path, place: &Path) {
    if let Err(error) = private::tighten(data_dir, place) {
        tracing::warn!(
            error = %Excerpt(error),
            "other users of this machine may be able to read the jobs: the rights of a file can't \
             be changed; its owner can, by chmod -R go= on the data folder"
        );
    }
}

impl Store for GroundStore {
    fn get(&self, table: Table, name: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.ground.get(&table.key(name))?)
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let Some((from, to)) = between(table, from, to) else { return Ok(Vec::new()) };
        Ok(self.ground.range(&from, &to, limit)?)
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        batch.changes.into_iter().for_each(|change| self.put(change));
        Ok(())
    }

    fn change(&mut self, change: Change) -> Result<(), StoreError> {
        self.put(change);
        Ok(())
    }

    fn insert(&mut self, table: Table, name: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let key = table.key(name);
        self.uncommitted_bytes += key.as_slice().len() + value.len();
        self.ground.insert(key, value);
        Ok(())
    }

    fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes
    }

    fn commit(&mut self) -> Result<u64, StoreError> {
        let number = self.ground.commit()?;
        self.uncommitted_bytes = 0;
        Ok(number.0)
    }

    fn flush(&mut self) {
        self.ground.flush();
    }

    fn durable(&self) -> Result<u64, StoreError> {
        Ok(self.ground.durable()?.0)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.commit()?;
        Ok(self.ground.sync()?)
    }

    fn free_bytes(&self) -> Option<u64> {
        journal::free_bytes(&self.folder)
    }

    fn set_aside(&self) -> SetAside {
        let (blocks, files) = (self.ground.bad_blocks(), self.ground.files_set_aside());
        SetAside { blocks: blocks as u64, files: files as u64 }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        Ok(self.ground.close()?)
    }

    fn rest(&mut self) {
        self.ground.rest();
    }

    fn replace_all(&mut self, batch: Batch) -> Result<(), StoreError> {
        // The changes so far are part of the same record, in their order.
        self.ground.change(ground::Change::Clear);
        self.write(batch)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// The open files of this process in a folder.
    fn open_files(folder: &Path) -> usize {
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        files
            .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
            .filter(|target| target.starts_with(folder))
            .count()
    }

    /// Enough for some tables to be written to disk and merged.
    const WRITTEN: u64 = 60 << 20;

    #[test]
    fn the_store_keeps_fewer_files_open_than_are_kept_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let mut store = GroundStore::open(&path, Arc::new(|| {})).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let (mut most, mut written) = (0, 0);
        while written < WRITTEN {
            let mut batch = Batch::default();
            for table in Table::ALL {
                // Keys that lie everywhere.
                let mut value = vec![0; 60_000];
                random.fill(&mut value);
                written += value.len() as u64;
                batch.put(table, random.u64(..).to_be_bytes(), value);
            }
            store.write(batch).unwrap();
            if random.u8(..16) == 0 {
                for table in Table::ALL {
                    let key = random.u64(..).to_be_bytes();
                    store.range(table, &key, &[0xFF; 9], 1).unwrap();
                }
                store.sync().unwrap();
                most = most.max(open_files(&path));
            }
        }
        most = most.max(open_files(&path));
        assert!((1..=STORE_FILES_MAX).contains(&most), "{most}");
    }

    #[test]
    fn a_folder_in_use_is_told_with_the_process_that_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = GroundStore::open(folder.path(), Arc::new(|| {})).unwrap();
        let error = GroundStore::open(folder.path(), Arc::new(|| {})).err().unwrap().to_string();
        drop(store);
        // Some systems give the lock's device another number than the file's.
        let told = format!("another process uses the folder (process {})", std::process::id());
        assert!(error == told || error == "another process uses the folder", "{error}");
    }
}
