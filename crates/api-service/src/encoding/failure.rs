//! Failures to decode a body that are no fault of its encoding.

use std::io;

/// Why a body was not decoded to its end, although its encoding may be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The decoder ended without a word: a fault of this program.
    #[error("the decoder broke off")]
    BrokeOff,
    /// Other bodies hold too much memory.
    #[error("too many large bodies are being read")]
    NoMemory,
    /// The client sent nothing for too long.
    #[error("no byte of the body came in time")]
    Idle,
}

impl Failure {
    /// The failure behind an error of a decoder.
    pub(crate) fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}
