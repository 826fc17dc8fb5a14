//! The names in the tables of the store. Numbers are big-endian, so that names sort as their
//! numbers do. `STORE.md` lists all keys and values.

use faktory_wire::{TargetSet, Timestamp};
use sha2::{Digest, Sha256};

pub(super) const COUNTERS_KEY: &[u8] = b"counters";
/// The mark of a FLUSH of an earlier version, which took several steps: the key exists while the
/// FLUSH is under way.
pub(super) const FLUSHING_KEY: &[u8] = b"flushing";
const QUEUE_PREFIX: &[u8] = b"queue/";
const TRASH_PREFIX: &[u8] = b"trash/";
const SLICE_PREFIX: &[u8] = b"ids/";

/// The set in which a job is while the job does not wait in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Location {
    Scheduled,
    Retries,
    Dead,
    Working,
}

impl Location {
    pub(super) const ALL: [Self; 4] = [Self::Scheduled, Self::Retries, Self::Dead, Self::Working];

    const fn tag(self) -> u8 {
        match self {
            Self::Scheduled => b's',
            Self::Retries => b'r',
            Self::Dead => b'd',
            Self::Working => b'w',
        }
    }
}

impl From<TargetSet> for Location {
    fn from(set: TargetSet) -> Self {
        match set {
            TargetSet::Scheduled => Self::Scheduled,
            TargetSet::Retries => Self::Retries,
            TargetSet::Dead => Self::Dead,
        }
    }
}

/// The key of an entry within its set: the time at which the entry is due, and a number that no
/// other entry of the set has. The number is that of the job, or in the working set that of the
/// reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryKey {
    pub(super) due: Timestamp,
    pub(super) number: u64,
}

/// The most bytes in the id of a job that is pushed; nobody gives a job a longer one. A store of an
/// earlier version may hold longer ones, so that commands that name a job take any.
pub(super) const JID_BYTES_MAX: usize = 1024;

/// The first half of a SHA-256, of a job id for example. The ids of a store of an earlier version
/// have no bound on their length, keys have.
pub(super) type IdHash = [u8; 16];

pub(super) fn id_hash(jid: &str) -> IdHash {
    first_half(Sha256::new().chain_update(jid))
}

/// A hash of three texts that are told apart.
pub(super) fn hash_of(texts: [&str; 3]) -> IdHash {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
    first_half(hasher)
}

fn first_half(hasher: Sha256) -> IdHash {
    let mut hash = IdHash::default();
    hash.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
    hash
}

/// A time as an unsigned number, in the same order as the signed microseconds.
const fn ordered(time: Timestamp) -> u64 {
    time.micros().cast_unsigned() ^ (1 << 63)
}

const fn time_of(ordered: u64) -> Timestamp {
    Timestamp::from_micros((ordered ^ (1 << 63)).cast_signed())
}

/// Parts, one behind another. Together they have `N` bytes.
fn joined<const N: usize>(parts: [&[u8]; 3]) -> [u8; N] {
    let mut bytes = [0; N];
    let parts = parts.into_iter().flatten();
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    bytes
}

pub(super) const fn body(job: u64) -> [u8; 8] {
    job.to_be_bytes()
}

pub(super) fn queued(queue: u32, position: u64) -> [u8; 12] {
    joined([&queue.to_be_bytes(), &position.to_be_bytes(), &[]])
}

pub(super) fn position_of(queued_name: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(queued_name.get(4..)?.try_into().ok()?))
}

pub(super) fn set(location: Location, key: EntryKey) -> [u8; 17] {
    joined([&[location.tag()], &ordered(key.due).to_be_bytes(), &key.number.to_be_bytes()])
}

/// The first name behind all entries that are due at `until` or before.
pub(super) fn set_end(location: Location, until: Timestamp) -> [u8; 18] {
    joined([&[location.tag()], &ordered(until).to_be_bytes(), &[0xFF; 9]])
}

pub(super) const fn set_start(location: Location) -> [u8; 1] {
    [location.tag()]
}

/// The first name behind all entries of the set.
pub(super) const fn set_limit(location: Location) -> [u8; 1] {
    [location.tag() + 1]
}

/// The set in whose name an entry stands.
pub(super) fn location_of(set_name: &[u8]) -> Option<Location> {
    let tag = *set_name.first()?;
    Location::ALL.into_iter().find(|location| location.tag() == tag)
}

pub(super) fn entry_key_of(set_name: &[u8]) -> Option<EntryKey> {
    let due = time_of(u64::from_be_bytes(set_name.get(1..9)?.try_into().ok()?));
    Some(EntryKey { due, number: u64::from_be_bytes(set_name.get(9..)?.try_into().ok()?) })
}

pub(super) fn index(location: Location, hash: &IdHash, number: u64) -> [u8; 25] {
    joined([&[location.tag()], hash, &number.to_be_bytes()])
}

pub(super) fn index_prefix(location: Location, hash: &IdHash) -> [u8; 17] {
    joined([&[location.tag()], hash, &[]])
}

/// The first name behind all index entries of this id. No number is as large as the last.
pub(super) fn index_limit(location: Location, hash: &IdHash) -> [u8; 25] {
    index(location, hash, u64::MAX)
}

pub(super) fn number_of(index_name: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(index_name.get(17..)?.try_into().ok()?))
}

pub(super) fn due_value(due: Timestamp) -> Vec<u8> {
    ordered(due).to_be_bytes().to_vec()
}

pub(super) fn due_of(index_value: &[u8]) -> Option<Timestamp> {
    Some(time_of(u64::from_be_bytes(index_value.try_into().ok()?)))
}

pub(super) fn queue(id: u32) -> [u8; 10] {
    joined([QUEUE_PREFIX, &id.to_be_bytes(), &[]])
}

pub(super) fn trash(id: u32) -> [u8; 10] {
    joined([TRASH_PREFIX, &id.to_be_bytes(), &[]])
}

pub(super) fn slice(id: u32) -> [u8; 8] {
    joined([SLICE_PREFIX, &id.to_be_bytes(), &[]])
}

/// The number of a slice of remembered ids in its name.
pub(super) fn slice_id_of(name: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(name.get(SLICE_PREFIX.len()..)?.try_into().ok()?))
}

/// The name of an id that is remembered by its hash.
pub(super) fn other_id(generation: u32, hash: &IdHash) -> [u8; 20] {
    joined([&generation.to_be_bytes(), hash, &[]])
}

/// The range of the records of all slices of remembered ids.
pub(super) const SLICES: (&[u8], &[u8]) = (b"ids/", b"ids0");

/// The ranges of all queue records, and of all trash records.
pub(super) const QUEUES: (&[u8], &[u8]) = (b"queue/", b"queue0");
pub(super) const TRASH: (&[u8], &[u8]) = (b"trash/", b"trash0");

/// The id of the queue in the name of a queue record or a trash record. Both prefixes have the same
/// length.
pub(super) fn queue_id_of(name: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(name.get(QUEUE_PREFIX.len()..)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_keys_sort_by_time_and_are_read_back() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_micros);
        let keys: Vec<_> =
            times.map(|due| set(Location::Dead, EntryKey { due, number: 7 })).to_vec();
        assert!(keys.is_sorted());
        for (key, due) in keys.iter().zip(times) {
            assert_eq!(entry_key_of(key), Some(EntryKey { due, number: 7 }));
            assert!(key.as_slice() < set_end(Location::Dead, due).as_slice());
            assert!(key.as_slice() >= set_start(Location::Dead).as_slice());
            assert!(key.as_slice() < set_limit(Location::Dead).as_slice());
        }
    }

    #[test]
    fn the_number_in_an_index_key_is_read_back() {
        let hash = id_hash("job-00000001");
        let key = index(Location::Working, &hash, 42);
        assert!(key.starts_with(&index_prefix(Location::Working, &hash)));
        assert_eq!(number_of(&key), Some(42));
    }

    #[test]
    fn the_id_in_a_queue_key_is_read_back() {
        assert_eq!(queue_id_of(&queue(77)), Some(77));
        assert_eq!(queue_id_of(&trash(78)), Some(78));
        assert_eq!(position_of(&queued(1, 99)), Some(99));
    }
}
