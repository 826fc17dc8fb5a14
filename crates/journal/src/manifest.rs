//! The manifest: which segments a journal has. It is replaced as a whole.

use std::io;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::document::{self, Unreadable};
use crate::segment;
use crate::{Epoch, Number};

pub(crate) const NAME: &str = "manifest";
/// The version of the format of all files.
pub(crate) const FORMAT: u32 = 1;

/// Where the records of a finished segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    /// The last record.
    pub(crate) last: Number,
    /// The first byte behind it.
    pub(crate) end: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) salt: u64,
    pub(crate) bytes: u64,
    /// `None` while records may be added.
    pub(crate) seal: Option<Seal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// A random number, by which a segment of another journal is known.
    pub(crate) journal: u64,
    pub(crate) epoch: Epoch,
    /// The first record that the segments hold, or will hold.
    pub(crate) first: Number,
    /// All records up to here were durable when this was written.
    pub(crate) durable: Number,
    /// The id of the next segment.
    pub(crate) next_segment: u64,
    /// In the order of their records.
    pub(crate) segments: Vec<Segment>,
}

impl Manifest {
    pub(crate) fn new(journal: u64) -> Self {
        Self {
            format: FORMAT,
            journal,
            epoch: Epoch(0),
            first: Number(1),
            durable: Number(0),
            next_segment: 1,
            segments: Vec::new(),
        }
    }

    /// True where it names this file of a segment.
    pub(crate) fn names(&self, file: &str) -> bool {
        self.segments.iter().any(|segment| segment::name(segment.id) == file)
    }

    /// Reads the manifest. Another document under its name is no manifest of another format.
    pub(crate) fn read<D: Disk>(disk: &D) -> Result<Self, Unreadable> {
        /// What a manifest of any format has.
        #[derive(Deserialize)]
        struct AnyFormat {
            #[serde(rename = "segments")]
            _segments: IgnoredAny,
        }
        match document::read(disk, NAME, FORMAT) {
            Err(Unreadable::Format(found)) => {
                document::read::<AnyFormat, _>(disk, NAME, found)?;
                Err(Unreadable::Format(found))
            }
            read => read,
        }
    }

    /// Replaces the manifest; durable on return.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> io::Result<()> {
        document::write(disk, NAME, self)
    }
}
