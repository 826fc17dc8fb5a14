//! Encoded bodies that are not broken and are refused all the same: they cost more than they hold.

use std::io;

/// The members or frames that a body may have whatever they hold.
pub(super) const FREE_PARTS: usize = 1000;
/// The bytes that each further one has to hold, on average over the whole body. A job has more.
pub(super) const BYTES_A_PART: usize = 64;
/// The encoded bytes in a row that may hold nothing. An encoder writes something for each of its
/// blocks, of which the largest has 128 KiB (RFC 8878).
pub(super) const BARREN_BYTES: usize = 1 << 20;

/// Why a body is refused although its encoding is not broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The encoded body is larger than a plain one may be.
    #[error("it is larger than the limit before it is decoded")]
    TooLarge,
    /// The body has too many members or frames for what they hold.
    #[error(
        "it has more than {FREE_PARTS} gzip members or zstd frames, which hold less than \
         {BYTES_A_PART} bytes each on average"
    )]
    TooManyParts,
    /// A long piece of the body holds nothing.
    #[error("{BARREN_BYTES} bytes of it in a row hold nothing")]
    Barren,
}

impl Fault {
    /// The fault behind an error of a decoder.
    pub(crate) fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}
