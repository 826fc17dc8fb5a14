//! The records of a segment, also those behind a bad one.

use crate::record::{self, Found, Head};
use crate::segment::RECORDS_AT;

/// A record whose head is whole.
pub(super) struct Met<'a> {
    pub(super) head: Head,
    /// `None` where it is not what was written.
    pub(super) body: Option<&'a [u8]>,
    pub(super) at: usize,
    /// The first byte behind it.
    pub(super) end: usize,
}

/// The records of a segment that begin before `end`, in the order in which they stand.
pub(super) fn walk(bytes: &[u8], salt: u64, end: u64) -> impl Iterator<Item = Met<'_>> {
    let mut from = RECORDS_AT;
    std::iter::from_fn(move || {
        let at = record::find(bytes, from, salt).filter(|at| (*at as u64) < end)?;
        let met = match record::read(bytes, at, salt) {
            Found::Record { head, body, end } => Met { head, body: bytes.get(body), at, end },
            Found::BadBody { head, end } => Met { head, body: None, at, end: end.min(bytes.len()) },
            Found::Nothing => return None,
        };
        from = met.end;
        Some(met)
    })
}
