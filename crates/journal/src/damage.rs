//! The errors of opening.

use std::fmt;
use std::io;

use crate::Number;
use crate::take::TakeError;

/// Something that was promised to be there is not, or is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The byte of the file at which the damage begins.
    pub offset: u64,
    /// What is wrong.
    pub what: Fault,
    /// The records that can't be read, or that nothing can be said of, first and last. The last is
    /// `None` where nothing says how many there were.
    pub lost: (Number, Option<Number>),
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The file is not there.
    Missing,
    /// The file ends too early.
    Short,
    /// The head of the file is not one, or that of another file.
    Head,
    /// A record is not what was written.
    Record,
    /// The manifest is not what was written.
    Manifest,
    /// The file has records that the manifest does not know: the manifest is an older one.
    Unlisted,
    /// The records that the caller needs have been cut already.
    Cut,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Short => "is shorter than it was",
            Self::Head => "has the head of another file, or none",
            Self::Record => "holds a record that is not what was written",
            Self::Manifest => "is not what was written",
            Self::Unlisted => "is newer than the manifest",
            Self::Cut => "begins behind the records that are needed",
        })
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, what, lost: (first, last) } = self;
        write!(f, "{file} {what} (byte {offset}); ")?;
        match last {
            Some(last) => write!(f, "records {first} to {last} would be lost"),
            None => write!(f, "the records from {first} on would be lost"),
        }
    }
}

/// The reason why a journal can't be opened. Nothing has been changed on the disk, except by
/// [`OpenError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something is damaged.
    #[error("{0}")]
    Damaged(Damage),
    /// The files have another format.
    #[error("the journal has format {found}; this version reads format {expected}")]
    Format {
        /// The version in the manifest.
        found: u32,
        /// The version that this program reads and writes.
        expected: u32,
    },
    /// A file can't be read or written.
    #[error("{file} can't be {action}: {error}")]
    Io {
        /// The file.
        file: String,
        /// What was tried.
        action: &'static str,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The caller did not take a record.
    #[error("record {0} can't be used: {1}")]
    Refused(Number, #[source] TakeError),
}

impl OpenError {
    pub(crate) fn io(file: &str, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |error| Self::Io { file, action, error }
    }
}

/// The end of a journal that was left out: records that can't be read, and of which nothing in the
/// journal says that they were durable. A loss of power before their sync leaves such an end. So
/// does damage to records that were synced, where no later record and no pause has noted that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The file in which it begins.
    pub file: String,
    /// The byte at which it begins.
    pub offset: u64,
    /// The number of the first record in it.
    pub first: Number,
    /// The bytes that were recognised as parts of records.
    pub bytes: u64,
    /// The records that were recognised, whole or torn.
    pub records: u64,
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, first, bytes, records } = self;
        write!(
            f,
            "the records from {first} on can't be read and are left out: {records} records, \
             {bytes} bytes, from byte {offset} of {file}. Nothing says that they were synced: \
             after a loss of power nobody had an answer to them; otherwise the file is damaged, \
             and something that was answered may be missing"
        )
    }
}
