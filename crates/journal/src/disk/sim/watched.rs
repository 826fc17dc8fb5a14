//! A disk of which a test sees the operations, or refuses them.

use std::io;
use std::sync::Arc;

use super::{SimDisk, SimFile};
use crate::disk::{Disk, DiskFile};

/// What a test does before an operation.
pub trait Watcher: Send + Sync + 'static {
    /// Before a file is opened.
    fn opens(&self, _disk: &SimDisk, _name: &str) {}

    /// Before bytes are written, by which the file grows by so many.
    ///
    /// # Errors
    /// Where the write is to fail.
    fn writes(&self, _disk: &SimDisk, _name: &str, _growth: u64) -> io::Result<()> {
        Ok(())
    }

    /// Before a file is synced.
    fn syncs(&self, _name: &str) {}

    /// The bytes that are free.
    fn free_bytes(&self, disk: &SimDisk) -> Option<u64> {
        disk.free_bytes()
    }
}

/// A disk that is watched.
#[derive(Debug)]
pub struct Watched<W> {
    /// The disk.
    pub disk: SimDisk,
    /// Who watches it.
    pub watcher: Arc<W>,
}

impl<W> Clone for Watched<W> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), watcher: Arc::clone(&self.watcher) }
    }
}

/// A file of a [`Watched`] disk.
#[derive(Debug)]
pub struct WatchedFile<W> {
    file: SimFile,
    name: String,
    on: Watched<W>,
}

impl<W> Watched<W> {
    fn file(&self, name: &str, file: SimFile) -> WatchedFile<W> {
        WatchedFile { file, name: name.to_owned(), on: self.clone() }
    }
}

impl<W: Watcher> Disk for Watched<W> {
    type File = WatchedFile<W>;

    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        self.watcher.opens(&self.disk, name);
        Ok(self.file(name, self.disk.open(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
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

    fn free_bytes(&self) -> Option<u64> {
        self.watcher.free_bytes(&self.disk)
    }
}

impl<W: Watcher> DiskFile for WatchedFile<W> {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, into)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let growth = (at + bytes.len() as u64).saturating_sub(self.file.length()?);
        self.on.watcher.writes(&self.on.disk, &self.name, growth)?;
        self.file.write_at(at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.on.watcher.syncs(&self.name);
        self.file.sync()
    }
}
