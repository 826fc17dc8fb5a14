//! Encoded bodies that are not broken and are refused all the same: they cost more than they hold.

use std::io;

/// The encoded bytes that a body may have whatever they hold: a decoder may need a whole block
/// before it gives anything, and the largest block has 128 KiB (RFC 8878).
pub(super) const FREE_BYTES: usize = 160 << 10;
/// The encoded bytes that each decoded one may have beyond these: members of gzip that hold as much
/// as a short job have fewer than two.
pub(super) const ENCODED_PER_DECODED: usize = 2;
/// The encoded bytes in a row that may hold nothing. An encoder writes something for each of its
/// blocks, of which the largest has 128 KiB (RFC 8878).
pub(super) const BARREN_BYTES: usize = 1 << 20;

/// Why a body is refused although its encoding is not broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The encoded body is larger than a plain one may be.
    #[error("it is larger than the limit before it is decoded")]
    TooLarge,
    /// The body is far larger than what it holds, such as one of very many empty members.
    #[error(
        "it has more than {FREE_BYTES} bytes, and more than {ENCODED_PER_DECODED} for each byte \
         that it holds"
    )]
    HoldsLittle,
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
