//! A block of a sorted file: pairs in the order of their keys. A pair is the length of its key
//! (one byte), the length of its value (four bytes, little-endian; all ones where the key was
//! removed), the key, and the value.

use bytes::Bytes;

use crate::{KEY_BYTES_MAX, Key};

/// A value, or the mark of a key that was removed.
pub(crate) type Value = Option<Bytes>;

const REMOVED: u32 = u32::MAX;
const LENGTHS: usize = 5;

/// The bytes of a pair.
pub(crate) fn pair_bytes(key: &Key, value: Option<&[u8]>) -> usize {
    LENGTHS + key.as_slice().len() + value.map_or(0, <[u8]>::len)
}

/// Writes a pair behind others.
pub(crate) fn push(out: &mut Vec<u8>, key: &Key, value: Option<&[u8]>) {
    let key = key.as_slice();
    out.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    let length = value.map_or(REMOVED, |value| {
        // A value is a part of a record of the journal, and far shorter.
        u32::try_from(value.len()).unwrap_or(REMOVED)
    });
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value.unwrap_or_default());
}

/// The first pair of these bytes, and where it ends; `None` where there is none.
pub(crate) fn read_pair(block: &Bytes, at: usize) -> Option<(Key, Value, usize)> {
    let key_at = at.checked_add(LENGTHS)?;
    let key_end = key_at + usize::from(*block.get(at)?);
    let length = u32::from_le_bytes(block.get(at + 1..key_at)?.try_into().ok()?);
    let key = Key::new(block.get(key_at..key_end)?)?;
    if length == REMOVED {
        return Some((key, None, key_end));
    }
    let end = key_end + length as usize;
    (end <= block.len()).then(|| (key, Some(block.slice(key_end..end)), end))
}

/// The value of a key in a block, or the mark that it was removed; `None` where it is not there.
/// Pairs are passed by without taking them out.
pub(crate) fn find(block: &Bytes, key: &Key) -> Option<Value> {
    let mut at = 0;
    loop {
        let (lengths, rest) = block.get(at..)?.split_first_chunk::<LENGTHS>()?;
        let [length, value @ ..] = *lengths;
        let found = rest.get(..usize::from(length))?;
        if found >= key.as_slice() {
            let is_it = found == key.as_slice();
            return if is_it { read_pair(block, at).map(|(_, value, _)| value) } else { None };
        }
        let value = u32::from_le_bytes(value);
        at += LENGTHS + found.len() + if value == REMOVED { 0 } else { value as usize };
    }
}

/// True where the bytes are whole pairs.
pub(crate) fn is_whole(block: &[u8]) -> bool {
    let mut at = 0;
    while at < block.len() {
        let Some((lengths, rest)) = block.get(at..).and_then(|rest| rest.split_first_chunk())
        else {
            return false;
        };
        let [key, value @ ..]: [u8; LENGTHS] = *lengths;
        let value = match u32::from_le_bytes(value) {
            REMOVED => 0,
            length => length as usize,
        };
        let length = usize::from(key) + value;
        if usize::from(key) > KEY_BYTES_MAX || rest.len() < length {
            return false;
        }
        at += LENGTHS + length;
    }
    true
}

/// All pairs of a block; `None` where the bytes are none.
pub(crate) fn read(block: &Bytes) -> Option<Vec<(Key, Value)>> {
    let mut pairs = Vec::new();
    let mut at = 0;
    while at < block.len() {
        let (key, value, end) = read_pair(block, at)?;
        pairs.push((key, value));
        at = end;
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_back() {
        let key = |text: &str| Key::new(text.as_bytes()).unwrap();
        let pairs = vec![
            (key(""), Some(Bytes::new())),
            (key("a"), Some(Bytes::from_static(b"value"))),
            (key("b"), None),
            (Key::LAST, Some(Bytes::from(vec![7; 70_000]))),
        ];
        let mut out = Vec::new();
        for (key, value) in &pairs {
            let before = out.len();
            push(&mut out, key, value.as_deref());
            assert_eq!(out.len() - before, pair_bytes(key, value.as_deref()));
        }
        let whole = Bytes::from(out);
        assert_eq!(read(&whole).unwrap(), pairs);
        for (key, value) in &pairs {
            assert_eq!(find(&whole, key).as_ref(), Some(value));
        }
        assert_eq!(find(&whole, &key("aa")), None);
        assert!(is_whole(&whole));
        for end in [whole.len() - 1, 3] {
            assert_eq!(read(&whole.slice(..end)), None);
            assert!(!is_whole(&whole[..end]));
        }
    }
}
