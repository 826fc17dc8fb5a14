//! A folder of the system. Files are for the user of this process alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, DiskFile};

const LOCK: &str = "lock";

/// A folder of the system. Where it is locked, it is until this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// `None` where the folder has no file to lock, or is read without a lock.
    _lock: Option<File>,
    is_read_only: bool,
}

impl Folder {
    /// Locks the folder at this path, which exists.
    ///
    /// # Errors
    /// Where another process, or another value, has it locked ([`io::ErrorKind::WouldBlock`]), or
    /// it can't be locked.
    pub fn lock(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let lock = options().create(true).truncate(false).open(path.join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { path, _lock: Some(lock), is_read_only: false })
    }

    /// Locks the folder at this path to read it. Nothing in it can be changed. Several may read it
    /// at a time; a folder that no process ever locked is read without a lock.
    ///
    /// # Errors
    /// Where another process has it open ([`io::ErrorKind::WouldBlock`]), or it can't be locked.
    pub fn lock_to_read(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let lock = match File::open(path.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened?),
        };
        if let Some(lock) = &lock {
            lock.try_lock_shared()?;
        }
        Ok(Self { path, _lock: lock, is_read_only: true })
    }

    /// Reads the folder at this path while another process may have it open: files may come, go and
    /// change. Nothing in it can be changed.
    #[must_use]
    pub fn without_lock(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), _lock: None, is_read_only: true }
    }

    fn may_write(&self) -> io::Result<()> {
        if self.is_read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The bytes that are free for this process on the disk of a folder; `None` where that is not
/// known.
#[cfg(unix)]
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let system = nix::sys::statvfs::statvfs(folder).ok()?;
    let (blocks, bytes): (u128, u128) =
        (system.blocks_available().into(), system.fragment_size().into());
    Some(u64::try_from(blocks * bytes).unwrap_or(u64::MAX))
}

/// The bytes that are free for this process on the disk of a folder; `None` where that is not
/// known.
#[cfg(not(unix))]
#[must_use]
pub fn free_bytes(_: &Path) -> Option<u64> {
    None
}

impl Disk for Folder {
    type File = FolderFile;

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<FolderFile> {
        let path = self.path.join(name);
        if self.is_read_only {
            return File::open(path).map(FolderFile);
        }
        options().open(path).map(FolderFile)
    }

    fn create(&self, name: &str) -> io::Result<FolderFile> {
        self.may_write()?;
        options().create_new(true).open(self.path.join(name)).map(FolderFile)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_write()?;
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may_write()?;
        std::fs::remove_file(self.path.join(name))
    }

    fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.path)
    }

    fn link(&self, name: &str, to: &Self) -> io::Result<bool> {
        to.may_write()?;
        match std::fs::hard_link(self.path.join(name), to.path.join(name)) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(false),
            },
        }
    }

    #[cfg(unix)]
    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Windows has no such call, and a rename there is not written through: a loss of power may
    /// bring an older name back.
    #[cfg(not(unix))]
    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of a [`Folder`].
#[derive(Debug)]
pub struct FolderFile(File);

impl DiskFile for FolderFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, into, at)
    }

    #[cfg(unix)]
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, at)
    }

    #[cfg(windows)]
    fn read_at(&self, mut at: u64, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.0, into, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    at += read as u64;
                    into = into.split_at_mut(read).1;
                }
            }
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(&self.0, bytes, at)?;
            at += written as u64;
            bytes = bytes.split_at(written).1;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()?;
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::nlink(&self.0.metadata()?) == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed"));
        }
        Ok(())
    }
}
