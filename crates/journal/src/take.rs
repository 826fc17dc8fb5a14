//! How the records of a journal reach the caller who opens it.

use crate::Number;

/// Why the caller of an opening did not take a record.
pub type TakeError = Box<dyn std::error::Error + Send + Sync>;
/// Takes the records that are read when a journal is opened.
pub type Take<'a> = &'a mut dyn FnMut(Number, &[u8]) -> Result<(), TakeError>;
