//! A block of a sorted file: pairs in the order of their keys. A pair is the length of its key
//! (one byte), the length of its value (four bytes, little-endian; all ones where the key was
//! removed), the key, and the value.

use bytes::Bytes;

use crate::Key;

/// A value, or the mark of a key that was removed.
pub(crate) type Value = Option<Bytes>;

const REMOVED: u32 = u32::MAX;
const LENGTHS: usize = 5;

/// The bytes of a pair.
pub(crate) fn pair_bytes(key: &Key, value: &Value) -> usize {
    LENGTHS + key.as_slice().len() + value.as_ref().map_or(0, Bytes::len)
}

pub(crate) fn push_pair(out: &mut Vec<u8>, key: &Key, value: &Value) {
    push(out, key, value.as_deref());
}

/// As [`push_pair`], of a value that is held elsewhere.
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
            push_pair(&mut out, key, value);
            assert_eq!(out.len() - before, pair_bytes(key, value));
        }
        let whole = Bytes::from(out);
        assert_eq!(read(&whole).unwrap(), pairs);
        assert_eq!(read(&whole.slice(..whole.len() - 1)), None);
        assert_eq!(read(&whole.slice(..3)), None);
    }
}
