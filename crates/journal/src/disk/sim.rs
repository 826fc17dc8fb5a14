//! A disk for tests. What was not synced is lost in a power cut: each sector of each write by
//! itself, and names from any point on in the order in which they were changed. The death of the
//! process loses nothing; what was not synced then may still be lost in a power cut.

mod contents;
mod gated;
mod harm;
mod refusal;
mod stops;
mod watched;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::contents::{Contents, write};
pub use self::gated::{Gate, Gated};
use self::refusal::Refusal;
pub use self::stops::{Script, stop_at_each_operation};
pub use self::watched::{Watched, WatchedFile, Watcher};
use super::{Disk, DiskFile};

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    names: BTreeMap<String, u64>,
    /// The names after a loss of power that loses the most.
    durable_names: BTreeMap<String, u64>,
    /// What was done to names since the last sync.
    changes: Vec<NameChange>,
    files: BTreeMap<u64, Contents>,
    next_file: u64,
    refusals: Vec<Refusal>,
    counts: Counts,
    open_files: usize,
    free_bytes: Option<u64>,
    /// The machine stops after so many operations.
    stops_after: Option<u64>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Made(String, u64),
    Renamed(String, String),
    Removed(String),
}

/// What a disk was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A file is opened.
    Open,
    /// Bytes are read.
    Read,
    /// A file is made.
    Create,
    /// Bytes are written.
    Write,
    /// A file is synced.
    Sync,
    /// A file gets another name.
    Rename,
    /// A file is removed.
    Remove,
    /// The folder is synced.
    SyncNames,
}

/// How often something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Syncs of files.
    pub syncs: u64,
    /// Bytes that were written.
    pub written: u64,
    /// All that changes the disk: files made, written, synced, renamed and removed, and syncs of
    /// the folder.
    pub operations: u64,
}

impl SimDisk {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that so many bytes are free; nothing is refused for it.
    pub fn set_free_bytes(&self, free: Option<u64>) {
        self.lock().free_bytes = free;
    }

    /// The next `times` actions of this kind fail.
    pub fn refuse(&self, action: Action, kind: io::ErrorKind, times: u64) {
        self.refuse_after(0, action, kind, times);
    }

    /// As [`SimDisk::refuse`], once so many actions of this kind have succeeded.
    pub fn refuse_after(&self, after: u64, action: Action, kind: io::ErrorKind, times: u64) {
        self.lock().refusals.push(Refusal { after, ..Refusal::of(action, kind, times) });
    }

    /// As [`SimDisk::refuse`], but only where a file of this name is opened, or made, or gets the
    /// name.
    pub fn refuse_named(&self, name: &str, action: Action, kind: io::ErrorKind, times: u64) {
        let name = Some(name.to_owned());
        self.lock().refusals.push(Refusal { name, ..Refusal::of(action, kind, times) });
    }

    /// The next write fails when so many of its bytes have been written.
    pub fn cut_write_short(&self, kept: usize, kind: io::ErrorKind) {
        let refusal = Refusal { kept: Some(kept), ..Refusal::of(Action::Write, kind, 1) };
        self.lock().refusals.push(refusal);
    }

    /// The machine stops when so many operations more have succeeded (see [`Counts::operations`]):
    /// the next one is the last. Of a write, half is done; anything else is not done. All that
    /// follows fails.
    pub fn stop_after(&self, operations: u64) {
        let mut inner = self.lock();
        inner.stops_after = Some(inner.counts.operations + operations);
    }

    /// The files that are open now.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.lock().open_files
    }

    /// True where [`SimDisk::stop_after`] has come true.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let inner = self.lock();
        inner.stops_after.is_some_and(|stop| inner.counts.operations > stop)
    }

    /// Nothing is refused any more.
    pub fn refuse_nothing(&self) {
        self.lock().refusals.clear();
    }

    /// How often something was done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The disk as another process finds it after the death of this one: all is there, and what was
    /// not synced may still be lost.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let inner = self.lock().clone();
        let inner = Inner {
            refusals: Vec::new(),
            counts: Counts::default(),
            open_files: 0,
            stops_after: None,
            ..inner
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The disk after a loss of power.
    #[must_use]
    pub fn after_power_loss(&self, random: &mut fastrand::Rng) -> Self {
        let inner = self.lock();
        let mut names = inner.durable_names.clone();
        let kept = random.usize(..=inner.changes.len());
        for change in inner.changes.iter().take(kept) {
            change.apply(&mut names);
        }
        let mut files = BTreeMap::new();
        for id in names.values() {
            if let Some(contents) = inner.files.get(id) {
                let bytes = contents.torn(random);
                let whole = Contents { now: bytes.clone(), durable: bytes, unsynced: Vec::new() };
                files.insert(*id, whole);
            }
        }
        Self::of(names, files, inner.next_file)
    }

    fn of(names: BTreeMap<String, u64>, files: BTreeMap<u64, Contents>, next_file: u64) -> Self {
        let durable_names = names.clone();
        let inner = Inner { names, durable_names, files, next_file, ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.lock();
        Some(inner.files.get(inner.names.get(name)?)?.now.clone())
    }

    /// Puts other bytes into a file, durably.
    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.lock();
        let Some(id) = inner.names.get(name).copied() else { return };
        let contents = Contents { now: bytes.clone(), durable: bytes, unsynced: Vec::new() };
        inner.files.insert(id, contents);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Made(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Removed(name) => drop(names.remove(name)),
            Self::Renamed(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl Inner {
    /// Counts an operation, and refuses it where that was asked for. Of a refused write, this many
    /// bytes are to be written.
    fn refusal(
        &mut self,
        action: Action,
        name: Option<&str>,
        bytes: usize,
    ) -> Result<(), (usize, io::Error)> {
        if !matches!(action, Action::Open | Action::Read) {
            self.counts.operations += 1;
        }
        if let Some(stop) = self.stops_after
            && self.counts.operations > stop
        {
            let kept = if self.counts.operations == stop + 1 { bytes / 2 } else { 0 };
            return Err((kept, io::Error::other("the machine has stopped")));
        }
        let refusal = self.refusals.iter_mut().find(|refusal| refusal.is_of(action, name));
        match refusal {
            Some(refusal) if refusal.after > 0 => {
                refusal.after -= 1;
                Ok(())
            }
            Some(refusal) => {
                refusal.left -= 1;
                Err((refusal.kept.unwrap_or(bytes / 2).min(bytes), refusal.kind.into()))
            }
            None => Ok(()),
        }
    }

    /// As [`Inner::refusal`], of what is no write.
    fn may(&mut self, action: Action) -> io::Result<()> {
        self.refusal(action, None, 0).map_err(|(_, error)| error)
    }

    fn may_with(&mut self, action: Action, name: &str) -> io::Result<()> {
        self.refusal(action, Some(name), 0).map_err(|(_, error)| error)
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut inner = self.lock();
        inner.may_with(Action::Open, name)?;
        let id = inner.id(name)?;
        inner.open_files += 1;
        drop(inner);
        Ok(SimFile { disk: self.clone(), id })
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut inner = self.lock();
        inner.may_with(Action::Create, name)?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = inner.next_file;
        inner.next_file += 1;
        inner.files.insert(id, Contents::default());
        inner.change(NameChange::Made(name.to_owned(), id));
        inner.open_files += 1;
        drop(inner);
        Ok(SimFile { disk: self.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.may_with(Action::Rename, to)?;
        inner.id(from)?;
        inner.change(NameChange::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.may(Action::Remove)?;
        inner.id(name)?;
        inner.change(NameChange::Removed(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.may(Action::SyncNames)?;
        inner.durable_names = inner.names.clone();
        inner.changes.clear();
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        self.lock().free_bytes
    }
}

/// A file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.lock().open_files -= 1;
    }
}

impl DiskFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        let inner = self.disk.lock();
        Ok(inner.files.get(&self.id).map_or(0, |contents| contents.now.len() as u64))
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.may(Action::Read)?;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = inner.files.get(&self.id).map_or(&[][..], |contents| &contents.now);
        let found = bytes.get(at..at.saturating_add(into.len()));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Where a write is refused, a part of its bytes has been written.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let refused = inner.refusal(Action::Write, None, bytes.len());
        let kept = refused.as_ref().map_or_else(|(kept, _)| *kept, |()| bytes.len());
        let bytes = bytes.get(..kept).unwrap_or_default();
        inner.counts.written += bytes.len() as u64;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if let Some(contents) = inner.files.get_mut(&self.id) {
            write(&mut contents.now, at, bytes);
            contents.unsynced.push((at, bytes.to_vec()));
        }
        refused.map_err(|(_, error)| error)
    }

    /// After a refused sync the disk has forgotten what was not synced, as Linux does, though it
    /// can still be read.
    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.counts.syncs += 1;
        let refused = inner.may(Action::Sync);
        let is_stopped = inner.stops_after.is_some_and(|stop| inner.counts.operations > stop);
        if is_stopped {
            // It is not known what the disk would have done.
            return refused;
        }
        if let Some(contents) = inner.files.get_mut(&self.id) {
            for (at, bytes) in std::mem::take(&mut contents.unsynced) {
                if refused.is_ok() {
                    write(&mut contents.durable, at, &bytes);
                }
            }
        }
        refused
    }
}
