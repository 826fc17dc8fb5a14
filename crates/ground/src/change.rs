//! Changes, and how they stand in a record of the journal: a byte for what is done, and the pair as
//! in a block.

use bytes::Bytes;

use crate::Key;
use crate::block;

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a key that has no value. Where it has one after all, an older value may come to light
    /// when the key is removed.
    Insert(Key, Bytes),
    /// Sets a key that may have a value.
    Put(Key, Bytes),
    /// Removes a key that may have a value.
    Remove(Key),
    /// Removes all keys.
    Clear,
}

const INSERT: u8 = 1;
const PUT: u8 = 2;
const REMOVE: u8 = 3;
const CLEAR: u8 = 4;

/// Writes a change behind others.
pub(crate) fn encode(change: &Change, record: &mut Vec<u8>) {
    let (tag, key, value) = match change {
        Change::Insert(key, value) => (INSERT, key, Some(value.clone())),
        Change::Put(key, value) => (PUT, key, Some(value.clone())),
        Change::Remove(key) => (REMOVE, key, None),
        Change::Clear => (CLEAR, &Key::FIRST, None),
    };
    record.push(tag);
    block::push_pair(record, key, &value);
}

/// The changes of a record; `None` where the bytes are none.
pub(crate) fn decode(record: &Bytes) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    let mut at = 0;
    while at < record.len() {
        let tag = *record.get(at)?;
        let (key, value, end) = block::read_pair(record, at + 1)?;
        changes.push(match (tag, value) {
            (INSERT, Some(value)) => Change::Insert(key, value),
            (PUT, Some(value)) => Change::Put(key, value),
            (REMOVE, None) => Change::Remove(key),
            (CLEAR, None) => Change::Clear,
            _ => return None,
        });
        at = end;
    }
    Some(changes)
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
            Change::Clear,
        ];
        let mut record = Vec::new();
        changes.iter().for_each(|change| encode(change, &mut record));
        let record = Bytes::from(record);
        assert_eq!(decode(&record).unwrap(), changes);
        assert_eq!(decode(&record.slice(..record.len() - 1)), None);
        assert_eq!(decode(&Bytes::from_static(&[9, 0, 0, 0, 0, 0])), None);
        assert_eq!(decode(&Bytes::new()).unwrap(), []);
    }
}
