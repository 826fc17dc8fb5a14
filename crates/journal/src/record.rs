//! A record in a segment: a head of 48 bytes, the body, and zeros up to a multiple of 8 bytes.
//!
//! | bytes of the head | |
//! |---|---|
//! | 0..4 | `WFr1` |
//! | 4..8 | the length of the body |
//! | 8..16 | the salt of the segment |
//! | 16..24 | the number of the record |
//! | 24..32 | the mark: the highest number that was durable when the record was written |
//! | 32..40 | the checksum of the body |
//! | 40..48 | the checksum of the 40 bytes before |
//!
//! Numbers are little-endian. The checksum is XXH3 of 64 bits (<https://xxhash.com>), that of the
//! body with the record's number as the seed.

use std::ops::Range;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::Number;

const MAGIC: [u8; 4] = *b"WFr1";
/// The bytes of a head.
pub(crate) const HEAD: usize = 48;
/// Records begin at multiples of this many bytes.
const ALIGN: usize = 8;
/// The most bytes in a record: more than a line of 64 MiB takes.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// The head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) salt: u64,
    pub(crate) number: Number,
    pub(crate) mark: Number,
}

/// The bytes that a record with a body of this length takes.
pub(crate) const fn size(body: usize) -> usize {
    (HEAD + body).next_multiple_of(ALIGN)
}

/// Writes a record into `out`, in place of what was there.
pub(crate) fn encode(head: Head, body: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(size(body.len()));
    push_head(head, body, out);
    out.extend_from_slice(body);
    out.resize(size(body.len()), 0);
}

/// Appends the head of a record with this body.
pub(crate) fn push_head(head: Head, body: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(&MAGIC);
    // `RECORD_BYTES_MAX` is less.
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&head.salt.to_le_bytes());
    out.extend_from_slice(&head.number.0.to_le_bytes());
    out.extend_from_slice(&head.mark.0.to_le_bytes());
    out.extend_from_slice(&xxh3_64_with_seed(body, head.number.0).to_le_bytes());
    out.extend_from_slice(&xxh3_64(out.get(from..).unwrap_or_default()).to_le_bytes());
}

/// What stands at a place of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record, and where its body is.
    Record { head: Head, body: Range<usize>, end: usize },
    /// A record whose body is not what was written.
    BadBody { head: Head, end: usize },
    /// No head of a record of this segment.
    Nothing,
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Reads what stands at a place.
pub(crate) fn read(bytes: &[u8], at: usize, salt: u64) -> Found {
    try_read(bytes, at, salt).unwrap_or(Found::Nothing)
}

fn try_read(bytes: &[u8], at: usize, salt: u64) -> Option<Found> {
    let head = bytes.get(at..at.checked_add(HEAD)?)?;
    if !head.starts_with(&MAGIC) || word(head, 8)? != salt {
        return None;
    }
    if xxh3_64(head.get(..40)?) != word(head, 40)? {
        return None;
    }
    let length = u32::from_le_bytes(head.get(4..8)?.try_into().ok()?) as usize;
    let checksum = word(head, 32)?;
    let head = Head { salt, number: Number(word(head, 16)?), mark: Number(word(head, 24)?) };
    let body = at + HEAD..at + HEAD + length;
    let end = at + size(length);
    Some(match bytes.get(body.clone()) {
        Some(bytes) if xxh3_64_with_seed(bytes, head.number.0) == checksum => {
            Found::Record { head, body, end }
        }
        _ => Found::BadBody { head, end },
    })
}

/// The salt in the head of a record at a place, where that is one of any segment.
pub(crate) fn salt_at(bytes: &[u8], at: usize) -> Option<u64> {
    let salt = word(bytes, at.checked_add(8)?)?;
    (read(bytes, at, salt) != Found::Nothing).then_some(salt)
}

/// The next place from `at` on where the head of a record of this segment stands.
pub(crate) fn find(bytes: &[u8], at: usize, salt: u64) -> Option<usize> {
    (at.next_multiple_of(ALIGN)..bytes.len())
        .step_by(ALIGN)
        .filter(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(&MAGIC)))
        .find(|at| read(bytes, *at, salt) != Found::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_OF_7: Head = Head { salt: 99, number: Number(7), mark: Number(5) };

    fn encoded(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(HEAD_OF_7, body, &mut out);
        out
    }

    #[test]
    fn a_record_is_read_back_and_only_with_its_salt() {
        for length in [0, 1, 7, 8, 9, 5000] {
            let body = vec![3; length];
            let bytes = encoded(&body);
            assert_eq!(bytes.len(), size(length));
            let Found::Record { head, body: range, end } = read(&bytes, 0, 99) else { panic!() };
            assert_eq!((head, &bytes[range], end), (HEAD_OF_7, body.as_slice(), bytes.len()));
            assert_eq!(read(&bytes, 0, 98), Found::Nothing);
        }
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let good = encoded(b"some body");
        for bit in 0..(HEAD + 9) * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = read(&bytes, 0, 99);
            let is_in_head = bit < HEAD * 8;
            let noticed = match found {
                Found::Nothing => is_in_head,
                Found::BadBody { head, end } => {
                    !is_in_head && (head, end) == (HEAD_OF_7, good.len())
                }
                Found::Record { .. } => false,
            };
            assert!(noticed, "bit {bit}: {found:?}");
        }
    }

    #[test]
    fn a_record_is_found_behind_what_is_none() {
        let mut bytes = b"no record, but WFr1 ".to_vec();
        bytes.resize(40, 0);
        bytes.extend(MAGIC);
        bytes.resize(56, 7);
        bytes.extend(encoded(b"body"));
        bytes.resize(4096, 0);
        assert_eq!(find(&bytes, 0, 99), Some(56));
        assert_eq!(find(&bytes, 57, 99), None);
    }

    #[test]
    fn a_record_that_is_cut_off_has_a_bad_body() {
        let bytes = encoded(&[1; 100]);
        assert!(matches!(read(&bytes[..bytes.len() - 8], 0, 99), Found::BadBody { .. }));
        assert_eq!(read(&bytes[..40], 0, 99), Found::Nothing);
    }
}
