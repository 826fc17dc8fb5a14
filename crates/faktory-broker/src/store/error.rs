//! Why a store can't be opened, read or written, in words for the person who runs the broker.

use std::error::Error;
use std::fmt;
use std::io;

use ground::GroundError;
use journal::{AppendError, LogFailed, OpenError};

/// The reason why a store failed or can't be read. After a failed write or sync no command may be
/// answered, because it is unknown which changes reached the disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(Box<dyn Error + Send + Sync>),
    /// Nothing was written, because the disk is full or the process has too many files open. It may
    /// be tried again.
    #[error("the store has no room: {0}")]
    NoRoom(Box<dyn Error + Send + Sync>),
    /// Something that was written is missing or was changed. Nothing was changed by the attempt to
    /// open it.
    #[error(
        "the store is damaged: {0}. \"work-factory broker verify\" tells all that is wrong, and \
         \"work-factory broker repair\" keeps what can be kept, in a new folder"
    )]
    Damaged(String),
    /// The user of this process may not use a file.
    #[error("{0}")]
    Denied(String),
    /// Another process has the data folder open.
    #[error("another process uses the folder{}", Process(*.process))]
    InUse {
        /// The number of the process, where the system says it.
        process: Option<u32>,
    },
    /// The data folder can't be made or used.
    #[error("the folder can't be used: {0}")]
    Folder(#[source] io::Error),
    /// The data folder has no store.
    #[error("there is no store in it{0}")]
    Absent(&'static str),
    /// A new store is to be made in a folder that holds something.
    #[error("the folder is not empty: name one that is, or that does not exist")]
    NotEmpty,
    /// The data folder was written in another format.
    #[error(
        "the data folder has format {found}, this version reads format {expected}: use the version \
         of Work Factory that wrote it"
    )]
    Format {
        /// The version in the folder.
        found: String,
        /// The version that this program reads and writes.
        expected: u32,
    },
    /// A record can't be read.
    #[error(
        "the store holds a record that can't be read: {0}. \"work-factory broker verify\" tells \
         all that is wrong, and \"work-factory broker repair\" keeps what can be kept, in a new \
         folder"
    )]
    Corrupt(&'static str),
}

/// The number of a process, where it is known.
struct Process(Option<u32>);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |process| write!(f, " (process {process})"))
    }
}

impl StoreError {
    /// True where the rights of the user of this process do not suffice.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Denied(_) => true,
            Self::Folder(error) => error.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

/// True where an error, or what lies beneath it, is one of rights.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        || error.source().is_some_and(is_denied)
}

impl From<GroundError> for StoreError {
    fn from(error: GroundError) -> Self {
        match error {
            GroundError::Damaged { .. }
            | GroundError::Journal(OpenError::Damaged(_) | OpenError::Refused(..)) => {
                Self::Damaged(error.to_string())
            }
            GroundError::Format { found, expected }
            | GroundError::Journal(OpenError::Format { found, expected }) => {
                Self::Format { found: found.to_string(), expected }
            }
            error if is_denied(&error) => Self::Denied(error.to_string()),
            error => Self::Database(Box::new(error)),
        }
    }
}

impl From<AppendError> for StoreError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::NoRoom(_) => Self::NoRoom(Box::new(error)),
            error => Self::Database(Box::new(error)),
        }
    }
}

impl From<LogFailed> for StoreError {
    fn from(error: LogFailed) -> Self {
        Self::Database(Box::new(error))
    }
}

/// The texts of fjall are those of a debugger, and are left out.
impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        const OLD: &str = "the store of an earlier version, in the folder fjall,";
        match error {
            fjall::Error::Locked => Self::InUse { process: None },
            error if is_denied(&error) => Self::Denied(format!("{OLD} can't be read")),
            fjall::Error::Io(error) => {
                Self::Database(format!("{OLD} can't be read: {error}").into())
            }
            _ => Self::Database(
                format!("{OLD} can't be read: the version that wrote it may say more").into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_for_a_person() {
        let io = |kind: io::ErrorKind| GroundError::Io { file: "list".into(), error: kind.into() };
        let damaged = GroundError::Damaged { file: "list".into(), what: "is missing" };
        let format = GroundError::Format { found: 9, expected: 1 };
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let errors: [(StoreError, &str); 8] = [
            (
                damaged.into(),
                "the store is damaged: list is missing. \"work-factory broker verify\" tells all \
                 that is wrong, and \"work-factory broker repair\" keeps what can be kept, in a \
                 new folder",
            ),
            (
                format.into(),
                "the data folder has format 9, this version reads format 1: use the version of \
                 Work Factory that wrote it",
            ),
            (io(io::ErrorKind::PermissionDenied).into(), "list can't be used: permission denied"),
            (
                fjall::Error::Io(denied()).into(),
                "the store of an earlier version, in the folder fjall, can't be read",
            ),
            (
                fjall::Error::InvalidVersion(None).into(),
                "the store failed: the store of an earlier version, in the folder fjall, can't be \
                 read: the version that wrote it may say more",
            ),
            (
                StoreError::InUse { process: Some(77) },
                "another process uses the folder (process 77)",
            ),
            (StoreError::InUse { process: None }, "another process uses the folder"),
            (StoreError::Folder(denied()), "the folder can't be used: permission denied"),
        ];
        for (error, text) in errors {
            assert_eq!(error.to_string(), text);
            assert_eq!(
                error.is_denied(),
                text.contains("denied") || text.ends_with("fjall, can't be read")
            );
        }
    }
}
