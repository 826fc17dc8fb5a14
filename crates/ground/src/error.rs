//! Errors.

use std::io;

/// The reason why the store can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// A file is not what was written. Nothing has been changed on the disk.
    #[error("{file} {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The files have another format.
    #[error("the store has format {found}; this version reads format {expected}")]
    Format {
        /// The version on the disk.
        found: u32,
        /// The version that this program reads and writes.
        expected: u32,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// The journal has failed.
    #[error(transparent)]
    Failed(#[from] journal::LogFailed),
    /// A record can't be appended.
    #[error(transparent)]
    Append(#[from] journal::AppendError),
    /// A file can't be read or written.
    #[error("{file} can't be used: {error}")]
    Io {
        /// The file.
        file: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}

impl GroundError {
    pub(crate) fn damaged(file: &str, what: &'static str) -> Self {
        Self::Damaged { file: file.to_owned(), what }
    }

    /// True where the disk is full.
    pub(crate) fn is_want_of_room(&self) -> bool {
        let (Self::Io { error, .. } | Self::Journal(journal::OpenError::Io { error, .. })) = self
        else {
            return false;
        };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    pub(crate) fn io(file: &str, error: io::Error) -> Self {
        Self::Io { file: file.to_owned(), error }
    }
}
