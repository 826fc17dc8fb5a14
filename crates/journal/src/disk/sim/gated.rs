//! A disk on which one operation takes until the test lets it go on.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use super::{Action, SimDisk, SimFile};
use crate::disk::{Disk, DiskFile};

/// Holds up one write or sync.
#[derive(Debug)]
pub struct Gate {
    action: Action,
    name_ends: &'static str,
    /// At one, the next such action is held up; at zero, none is.
    left: AtomicUsize,
    arrived: Barrier,
    go_on: Barrier,
}

impl Gate {
    /// A gate for this action, a write or a sync, on files whose names end so. It is open.
    #[must_use]
    pub fn new(action: Action, name_ends: &'static str) -> Arc<Self> {
        let (arrived, go_on) = (Barrier::new(2), Barrier::new(2));
        Arc::new(Self { action, name_ends, left: AtomicUsize::new(0), arrived, go_on })
    }

    /// The action of this number from now on, 1 for the next, is held up.
    pub fn close_before(&self, number: usize) {
        self.left.store(number, Ordering::SeqCst);
    }

    /// Waits until the action is held up.
    pub fn await_arrival(&self) {
        self.arrived.wait();
    }

    /// Lets the action go on that is held up.
    pub fn open(&self) {
        self.go_on.wait();
    }

    fn pass(&self, action: Action, name: &str) {
        if action == self.action
            && name.ends_with(self.name_ends)
            && self.left.load(Ordering::SeqCst) > 0
            && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.arrived.wait();
            self.go_on.wait();
        }
    }
}

/// A disk behind a [`Gate`].
#[derive(Debug)]
pub struct Gated {
    /// The disk.
    pub disk: SimDisk,
    /// The gate.
    pub gate: Arc<Gate>,
}

/// A file of a [`Gated`] disk.
#[derive(Debug)]
pub struct GatedFile {
    file: SimFile,
    name: String,
    gate: Arc<Gate>,
}

impl Gated {
    fn file(&self, name: &str, file: SimFile) -> GatedFile {
        GatedFile { file, name: name.to_owned(), gate: Arc::clone(&self.gate) }
    }
}

impl Disk for Gated {
    type File = GatedFile;

    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn open(&self, name: &str) -> io::Result<GatedFile> {
        Ok(self.file(name, self.disk.open(name)?))
    }

    fn create(&self, name: &str) -> io::Result<GatedFile> {
        Ok(self.file(name, self.disk.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
}

impl DiskFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, into)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.gate.pass(Action::Write, &self.name);
        self.file.write_at(at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass(Action::Sync, &self.name);
        self.file.sync()
    }
}
