//! The little that the journal needs of a disk. The tests have another one, which forgets, tears
//! and reorders what was not synced.

mod folder;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

use std::io;
use std::sync::Arc;

pub use self::folder::{Folder, FolderFile, free_bytes};

/// A folder of files without folders within.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// The names of all files.
    ///
    /// # Errors
    /// Where the folder can't be read.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    /// Where there is none, or it can't be opened.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Makes a file that does not exist.
    ///
    /// # Errors
    /// Where there is one, or none can be made.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in place of the file that had it.
    ///
    /// # Errors
    /// Where there is no such file, or the folder can't be written.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Where there is no such file, or the folder can't be written.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names durable: what was made, renamed or removed.
    ///
    /// # Errors
    /// Where the system can't.
    fn sync_names(&self) -> io::Result<()>;

    /// The bytes that are free for this process; `None` where that is not known.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// Gives a file of this folder the same name in another one, too, without a copy of its bytes.
    /// False where that is not possible: between two file systems, or for want of rights.
    ///
    /// # Errors
    /// Where there is no such file, or the other folder has one of that name.
    fn link(&self, _name: &str, _to: &Self) -> io::Result<bool> {
        Ok(false)
    }
}

impl<D: Disk> Disk for Arc<D> {
    type File = D::File;

    fn names(&self) -> io::Result<Vec<String>> {
        (**self).names()
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        (**self).open(name)
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
        (**self).create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        (**self).sync_names()
    }

    fn free_bytes(&self) -> Option<u64> {
        (**self).free_bytes()
    }

    fn link(&self, name: &str, to: &Self) -> io::Result<bool> {
        (**self).link(name, &**to)
    }
}

/// An open file. Positions are in bytes.
pub trait DiskFile: Send + Sync + 'static {
    /// The length.
    ///
    /// # Errors
    /// Where the system can't say.
    fn length(&self) -> io::Result<u64>;

    /// Fills `into` with the bytes at `at`.
    ///
    /// # Errors
    /// Where the file ends before, or can't be read.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes all bytes at `at`; the file grows where it must.
    ///
    /// # Errors
    /// Where the file can't be written; some of the bytes may have been.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything that was written durable, and the length.
    ///
    /// # Errors
    /// Where the system can't: what was written since the last sync may be lost, and a second sync
    /// does not bring it back.
    fn sync(&self) -> io::Result<()>;
}
