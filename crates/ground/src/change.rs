//! Changes, and how they stand in a record of the journal: a byte for what is done, and the pair as
//! in a block. At the end of a record may stand that its group goes on in the next record; at the
//! beginning, that the group before has no end and counts for nothing.

use bytes::Bytes;

use crate::Key;
use crate::block;

/// The most bytes in a value. A longer one is never committed: each commit says
/// [`TooLong`](journal::AppendError::TooLong).
pub const VALUE_BYTES_MAX: usize = 128 << 20;

/// A change of one key, or of many. The store keeps the bytes of a value as they are given: a slice
/// of a larger buffer keeps all of the buffer in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a key that has no value. Where it has one after all, an older value may come to light
    /// when the key is removed. The value has at most [`VALUE_BYTES_MAX`] bytes.
    Insert(Key, Bytes),
    /// Sets a key that may have a value. The value has at most [`VALUE_BYTES_MAX`] bytes.
    Put(Key, Bytes),
    /// Removes a key that may have a value.
    Remove(Key),
    /// Removes all keys that begin with the same byte as this one and are less than it: a floor.
    /// Until the next [`Change::Clear`] none of them is put again: where one is, nothing is seen of
    /// it. A lower floor than the one before changes nothing, nor does the empty key. It costs
    /// little however many keys go: files in which nothing else lies are removed unread.
    Floor(Key),
    /// Removes all keys, and all floors: the store is as a new one.
    Clear,
}

const INSERT: u8 = 1;
const PUT: u8 = 2;
const REMOVE: u8 = 3;
const CLEAR: u8 = 4;
const GOES_ON: u8 = 5;
const ABANDON: u8 = 6;
const FLOOR: u8 = 7;

/// Writes a change behind others.
pub(crate) fn encode(change: &Change, record: &mut Vec<u8>) {
    let (tag, key, value) = match change {
        Change::Insert(key, value) => (INSERT, key, Some(&**value)),
        Change::Put(key, value) => (PUT, key, Some(&**value)),
        Change::Remove(key) => (REMOVE, key, None),
        Change::Floor(key) => (FLOOR, key, None),
        Change::Clear => (CLEAR, &Key::FIRST, None),
    };
    record.push(tag);
    block::push(record, key, value);
}

/// As [`encode`], of a [`Change::Insert`].
pub(crate) fn encode_insert(key: &Key, value: &[u8], record: &mut Vec<u8>) {
    record.push(INSERT);
    block::push(record, key, Some(value));
}

/// Says at the end of a record that its group goes on in the next one.
pub(crate) fn push_goes_on(record: &mut Vec<u8>) {
    record.push(GOES_ON);
    block::push(record, &Key::FIRST, None);
}

/// Says at the beginning of a record that the group before has no end.
pub(crate) fn push_abandon(record: &mut Vec<u8>) {
    record.push(ABANDON);
    block::push(record, &Key::FIRST, None);
}

/// What stands in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Change(Change),
    GoesOn,
    Abandon,
}

/// The entries of a record; `None` where the bytes are none.
pub(crate) fn decode(record: &Bytes) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < record.len() {
        let tag = *record.get(at)?;
        let (key, value, end) = block::read_pair(record, at + 1)?;
        entries.push(match (tag, value) {
            (INSERT, Some(value)) => Entry::Change(Change::Insert(key, value)),
            (PUT, Some(value)) => Entry::Change(Change::Put(key, value)),
            (REMOVE, None) => Entry::Change(Change::Remove(key)),
            (FLOOR, None) => Entry::Change(Change::Floor(key)),
            (CLEAR, None) => Entry::Change(Change::Clear),
            (GOES_ON, None) => Entry::GoesOn,
            (ABANDON, None) => Entry::Abandon,
            _ => return None,
        });
        at = end;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_back() {
        let key = Key::new(b"key").unwrap();
        let value = Bytes::from_static(b"value");
        let changes = vec![
            Change::Insert(key, value.clone()),
            Change::Put(key, value),
            Change::Remove(key),
            Change::Floor(key),
            Change::Clear,
        ];
        let mut record = Vec::new();
        push_abandon(&mut record);
        changes.iter().for_each(|change| encode(change, &mut record));
        push_goes_on(&mut record);
        let record = Bytes::from(record);
        let entries = changes.into_iter().map(Entry::Change);
        let entries = [Entry::Abandon].into_iter().chain(entries).chain([Entry::GoesOn]);
        assert_eq!(decode(&record).unwrap(), entries.collect::<Vec<_>>());
        assert_eq!(decode(&record.slice(..record.len() - 1)), None);
        assert_eq!(decode(&Bytes::from_static(&[9, 0, 0, 0, 0, 0])), None);
        assert_eq!(decode(&Bytes::new()).unwrap(), []);
    }
}
