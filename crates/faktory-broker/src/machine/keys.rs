//! Keys of the store. Numbers are big-endian, so that keys sort as numbers do.

use faktory_wire::{TargetSet, Timestamp};
use sha2::{Digest, Sha256};

/// The version of everything below and of [`super::records`]; a folder with another is not opened.
pub(super) const FORMAT: u32 = 1;

pub(super) const FORMAT_KEY: &[u8] = b"format";
pub(super) const COUNTERS_KEY: &[u8] = b"counters";
/// There while a FLUSH is under way, which takes several steps.
pub(super) const FLUSHING_KEY: &[u8] = b"flushing";
const QUEUE_PREFIX: &[u8] = b"queue/";
const TRASH_PREFIX: &[u8] = b"trash/";

/// Where a job is when it does not wait in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    Scheduled,
    Retries,
    Dead,
    Working,
}

impl Place {
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

impl From<TargetSet> for Place {
    fn from(set: TargetSet) -> Self {
        match set {
            TargetSet::Scheduled => Self::Scheduled,
            TargetSet::Retries => Self::Retries,
            TargetSet::Dead => Self::Dead,
        }
    }
}

/// An entry of a set: when it is due, and a number that no other entry of that place has
/// (the job's, or the reservation's where it is being worked on).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    pub(super) due: Timestamp,
    pub(super) number: u64,
}

/// Half of a SHA-256: ids have no bounded length, keys do.
pub(super) type IdHash = [u8; 16];

pub(super) fn id_hash(jid: &str) -> IdHash {
    let digest = Sha256::digest(jid);
    let mut hash = IdHash::default();
    hash.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    hash
}

/// Signed microseconds as an unsigned number of the same order.
const fn ordered(time: Timestamp) -> u64 {
    time.micros().cast_unsigned() ^ (1 << 63)
}

const fn time_of(ordered: u64) -> Timestamp {
    Timestamp::from_micros((ordered ^ (1 << 63)).cast_signed())
}

pub(super) fn body(job: u64) -> Vec<u8> {
    job.to_be_bytes().to_vec()
}

pub(super) fn queued(queue: u32, position: u64) -> Vec<u8> {
    [queue.to_be_bytes().as_slice(), &position.to_be_bytes()].concat()
}

pub(super) fn position_of(queued_key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(queued_key.get(4..)?.try_into().ok()?))
}

pub(super) fn set(place: Place, slot: Slot) -> Vec<u8> {
    [[place.tag()].as_slice(), &ordered(slot.due).to_be_bytes(), &slot.number.to_be_bytes()]
        .concat()
}

/// The first key behind those of entries due at `until`.
pub(super) fn set_end(place: Place, until: Timestamp) -> Vec<u8> {
    [[place.tag()].as_slice(), &ordered(until).to_be_bytes(), &[0xFF; 9]].concat()
}

pub(super) fn set_start(place: Place) -> Vec<u8> {
    vec![place.tag()]
}

/// The first key behind all entries of the place.
pub(super) fn set_limit(place: Place) -> Vec<u8> {
    vec![place.tag() + 1]
}

pub(super) fn slot_of(set_key: &[u8]) -> Option<Slot> {
    let due = time_of(u64::from_be_bytes(set_key.get(1..9)?.try_into().ok()?));
    Some(Slot { due, number: u64::from_be_bytes(set_key.get(9..)?.try_into().ok()?) })
}

pub(super) fn index(place: Place, hash: &IdHash, number: u64) -> Vec<u8> {
    [index_prefix(place, hash).as_slice(), &number.to_be_bytes()].concat()
}

pub(super) fn index_prefix(place: Place, hash: &IdHash) -> Vec<u8> {
    [[place.tag()].as_slice(), hash].concat()
}

/// The first key behind all index entries of this id; numbers never reach the last.
pub(super) fn index_limit(place: Place, hash: &IdHash) -> Vec<u8> {
    index(place, hash, u64::MAX)
}

pub(super) fn number_of(index_key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(index_key.get(17..)?.try_into().ok()?))
}

pub(super) fn due_value(due: Timestamp) -> Vec<u8> {
    ordered(due).to_be_bytes().to_vec()
}

pub(super) fn due_of(index_value: &[u8]) -> Option<Timestamp> {
    Some(time_of(u64::from_be_bytes(index_value.try_into().ok()?)))
}

pub(super) fn queue(id: u32) -> Vec<u8> {
    [QUEUE_PREFIX, &id.to_be_bytes()].concat()
}

pub(super) fn trash(id: u32) -> Vec<u8> {
    [TRASH_PREFIX, &id.to_be_bytes()].concat()
}

/// From and to of all queue records, and of all trash records.
pub(super) const QUEUES: (&[u8], &[u8]) = (b"queue/", b"queue0");
pub(super) const TRASH: (&[u8], &[u8]) = (b"trash/", b"trash0");

/// The id in a queue or trash key: both prefixes have the same length.
pub(super) fn queue_id_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(QUEUE_PREFIX.len()..)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_time_and_survive_reading() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_micros);
        let keys: Vec<_> = times.map(|due| set(Place::Dead, Slot { due, number: 7 })).to_vec();
        assert!(keys.is_sorted());
        for (key, due) in keys.iter().zip(times) {
            assert_eq!(slot_of(key), Some(Slot { due, number: 7 }));
            assert!(*key < set_end(Place::Dead, due));
            assert!(*key >= set_start(Place::Dead) && *key < set_limit(Place::Dead));
        }
    }

    #[test]
    fn an_index_key_gives_its_number_back() {
        let hash = id_hash("job-00000001");
        let key = index(Place::Working, &hash, 42);
        assert!(key.starts_with(&index_prefix(Place::Working, &hash)));
        assert_eq!(number_of(&key), Some(42));
    }

    #[test]
    fn a_queue_key_gives_its_id_back() {
        assert_eq!(queue_id_of(&queue(77)), Some(77));
        assert_eq!(queue_id_of(&trash(78)), Some(78));
        assert_eq!(position_of(&queued(1, 99)), Some(99));
    }
}
