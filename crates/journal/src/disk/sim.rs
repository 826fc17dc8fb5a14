//! A disk for tests. What was not synced is lost in a power cut: each sector of each write by
//! itself, and names from any point on in the order in which they were changed. A clean death of
//! the process loses nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// A sector is written whole or not at all.
const SECTOR: usize = 512;
/// What [`SimDisk::harm`] overwrites at a time.
const PAGE: usize = 4096;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
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
}

#[derive(Debug, Clone)]
enum NameChange {
    Made(String, u64),
    Renamed(String, String),
    Removed(String),
}

#[derive(Debug, Clone, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// What a disk was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A file is made.
    Create,
    /// Bytes are written.
    Write,
    /// A file is synced.
    Sync,
    /// The folder is synced.
    SyncNames,
}

#[derive(Debug, Clone)]
struct Refusal {
    action: Action,
    kind: io::ErrorKind,
    /// So many actions succeed before.
    after: u64,
    left: u64,
}

/// How often something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Syncs of files.
    pub syncs: u64,
    /// Bytes that were written.
    pub written: u64,
}

impl SimDisk {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `times` actions of this kind fail.
    pub fn refuse(&self, action: Action, kind: io::ErrorKind, times: u64) {
        self.refuse_after(0, action, kind, times);
    }

    /// As [`SimDisk::refuse`], once so many actions of this kind have succeeded.
    pub fn refuse_after(&self, after: u64, action: Action, kind: io::ErrorKind, times: u64) {
        self.lock().refusals.push(Refusal { action, kind, after, left: times });
    }

    /// How often something was done.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The disk as another process finds it after the death of this one.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let inner = self.lock();
        let files = inner.names.values().filter_map(|id| {
            let now = inner.files.get(id)?.now.clone();
            Some((*id, Contents { durable: now.clone(), now, unsynced: Vec::new() }))
        });
        let files = files.collect();
        Self::of(inner.names.clone(), files, inner.next_file)
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

    /// Harms a file in a random way, and says how: a bit, a page, its end, the whole file, or
    /// another file in its place.
    #[must_use]
    pub fn harm(&self, name: &str, random: &mut fastrand::Rng) -> String {
        let mut bytes = self.bytes(name).unwrap_or_default();
        let at = random.usize(..bytes.len().max(1));
        let harm = match random.u8(..6) {
            0 | 1 => {
                let bit = random.u8(..8);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
                format!("a bit of {name} at {at}")
            }
            2 => {
                let (page, filling) = (at / PAGE * PAGE, random.u8(..));
                bytes.iter_mut().skip(page).take(PAGE).for_each(|byte| *byte = filling);
                format!("a page of {name} at {page}")
            }
            3 => {
                bytes.truncate(at);
                format!("{name} cut at {at}")
            }
            4 => {
                let inner = &mut *self.lock();
                inner.names.remove(name);
                inner.durable_names.remove(name);
                return format!("{name} removed");
            }
            _ => {
                let names: Vec<_> = self.lock().names.keys().cloned().collect();
                let other = names.get(random.usize(..names.len().max(1)));
                bytes = other.and_then(|other| self.bytes(other)).unwrap_or_default();
                format!("{name} is a copy of {other:?}")
            }
        };
        self.set_bytes(name, bytes);
        harm
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

fn write(into: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    if let Some(place) = into.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

impl Contents {
    /// The bytes after a loss of power: of each unsynced write any sectors.
    fn torn(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        // A disk that keeps nearly all, half, or nearly nothing.
        let share = [0.05, 0.5, 0.95].get(random.usize(..3)).copied().unwrap_or(0.5);
        let mut bytes = self.durable.clone();
        for (at, written) in &self.unsynced {
            let (mut at, mut rest) = (*at, written.as_slice());
            while !rest.is_empty() {
                let count = (SECTOR - at % SECTOR).min(rest.len());
                let (sector, behind) = rest.split_at(count);
                if random.f64() < share {
                    write(&mut bytes, at, sector);
                }
                (at, rest) = (at + count, behind);
            }
        }
        bytes
    }
}

impl Inner {
    fn refusal(&mut self, action: Action) -> io::Result<()> {
        let refusal =
            self.refusals.iter_mut().find(|refusal| refusal.action == action && refusal.left > 0);
        match refusal {
            Some(refusal) if refusal.after > 0 => {
                refusal.after -= 1;
                Ok(())
            }
            Some(refusal) => {
                refusal.left -= 1;
                Err(refusal.kind.into())
            }
            None => Ok(()),
        }
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
        let id = self.lock().id(name)?;
        Ok(SimFile { disk: self.clone(), id })
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut inner = self.lock();
        inner.refusal(Action::Create)?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = inner.next_file;
        inner.next_file += 1;
        inner.files.insert(id, Contents::default());
        inner.change(NameChange::Made(name.to_owned(), id));
        drop(inner);
        Ok(SimFile { disk: self.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.id(from)?;
        inner.change(NameChange::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.id(name)?;
        inner.change(NameChange::Removed(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.refusal(Action::SyncNames)?;
        inner.durable_names = inner.names.clone();
        inner.changes.clear();
        Ok(())
    }
}

/// A file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl DiskFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        let inner = self.disk.lock();
        Ok(inner.files.get(&self.id).map_or(0, |contents| contents.now.len() as u64))
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.lock();
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = inner.files.get(&self.id).map_or(&[][..], |contents| &contents.now);
        let found = bytes.get(at..at.saturating_add(into.len()));
        into.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// Where a write is refused, half of its bytes have been written.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let refused = inner.refusal(Action::Write);
        let bytes = match refused {
            Ok(()) => bytes,
            Err(_) => bytes.get(..bytes.len() / 2).unwrap_or_default(),
        };
        inner.counts.written += bytes.len() as u64;
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if let Some(contents) = inner.files.get_mut(&self.id) {
            write(&mut contents.now, at, bytes);
            contents.unsynced.push((at, bytes.to_vec()));
        }
        refused
    }

    /// After a refused sync the disk has forgotten what was not synced, as Linux does, though it
    /// can still be read.
    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.counts.syncs += 1;
        let refused = inner.refusal(Action::Sync);
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
