//! Damage: what was promised is there, or the journal says that it is not.

use std::collections::BTreeMap;

use super::{Records, open, record, reopen};
use crate::sim::SimDisk;
use crate::{Disk, Fault, Log, Number, OpenError};

/// How a journal was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Closed,
    /// Killed after a pause.
    Resting,
    /// Killed after its last sync.
    Busy,
}

/// A journal of some segments, its records, and for each the number that was durable when it was
/// written.
pub(super) struct Journal {
    pub(super) disk: SimDisk,
    pub(super) records: Records,
    marks: BTreeMap<Number, Number>,
}

pub(super) fn journal(random: &mut fastrand::Rng, left: Left) -> Journal {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    let mut records = Records::new();
    let mut marks = BTreeMap::new();
    for _ in 0..random.usize(1..100) {
        let record = record(random);
        let mark = log.log.durable().unwrap();
        let number = log.append(&record);
        marks.insert(number, mark);
        records.insert(number, record);
        if random.bool() {
            log.sync();
        }
    }
    log.sync();
    match left {
        Left::Closed => log.log.close().unwrap(),
        Left::Resting => {
            log.log.rest();
            while log.log.work() {}
        }
        Left::Busy => {}
    }
    Journal { disk: disk.after_kill(), records, marks }
}

/// Harms a random file.
pub(super) fn harm(disk: &SimDisk, random: &mut fastrand::Rng) -> String {
    let names = disk.names().unwrap();
    disk.harm(&names[random.usize(..names.len())], random)
}

/// `None` where the journal opened with everything; otherwise what it said.
fn outcome(Journal { disk, records, marks }: &Journal, harm: &str) -> Option<String> {
    match open(disk, Number(1)) {
        Ok(read) => {
            for (number, record) in &read.records {
                assert_eq!(Some(record), records.get(number), "{harm}: record {number}");
            }
            if read.records.len() == records.len() {
                return None;
            }
            // Only what no record that is left calls durable can be missed in silence: the last
            // records, of which no byte is left.
            let kept = read.log.last();
            let marked = marks.range(..=kept).map(|(_, mark)| *mark).max();
            assert!(marked <= Some(kept), "{harm}: {marked:?} {kept}");
            Some(format!("less: {:?}", read.tail))
        }
        Err(OpenError::Damaged(damage)) => Some(damage.to_string()),
        Err(error) => panic!("{harm}: not damage, but {error}"),
    }
}

/// How many of the harmed journals were refused.
fn refused_of_harmed(left: Left, seeds: std::ops::Range<u64>) -> usize {
    let mut refused = 0;
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let journal = journal(&mut random, left);
        let harm = harm(&journal.disk, &mut random);
        let names = journal.disk.names().unwrap();
        let bytes = || names.iter().map(|name| journal.disk.bytes(name)).collect::<Vec<_>>();
        let before = bytes();
        let Some(said) = outcome(&journal, &harm) else { continue };
        if said.starts_with("less") {
            assert_eq!(left, Left::Busy, "seed {seed}, {harm}: {said}");
        } else {
            refused += 1;
            // Nothing was touched.
            assert_eq!(journal.disk.names().unwrap(), names);
            assert_eq!(bytes(), before);
        }
    }
    refused
}

#[test]
fn a_closed_journal_opens_whole_or_not_at_all() {
    let refused = refused_of_harmed(Left::Closed, 0..1000);
    assert!(refused > 300, "{refused}");
}

#[test]
fn a_journal_at_rest_opens_whole_or_not_at_all_after_a_kill() {
    let refused = refused_of_harmed(Left::Resting, 1000..2000);
    assert!(refused > 300, "{refused}");
}

#[test]
fn a_busy_journal_lacks_at_most_what_was_synced_last() {
    let refused = refused_of_harmed(Left::Busy, 2000..3000);
    assert!(refused > 300, "{refused}");
}

/// A disk after a kill, on which ten records of ten bytes were synced one by one and this one is
/// bad; the segment's name, and the record's offset.
fn killed_with_bad_record(index: usize) -> (SimDisk, String, usize) {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    for _ in 0..10 {
        log.append(b"0123456789");
        log.sync();
    }
    let disk = disk.after_kill();
    let name = crate::segment::name(1);
    let mut bytes = disk.bytes(&name).unwrap();
    let at = crate::segment::RECORDS_AT + index * crate::record::size(10);
    bytes[at + 50] ^= 1;
    disk.set_bytes(&name, bytes);
    (disk, name, at)
}

#[test]
fn a_bad_record_below_the_highest_mark_is_damage_and_says_what_would_be_lost() {
    let (disk, name, at) = killed_with_bad_record(3);
    let Err(OpenError::Damaged(damage)) = open(&disk, Number(1)) else { panic!() };
    assert_eq!((damage.what, damage.offset), (Fault::Record, at as u64));
    assert_eq!(damage.lost, (Number(4), Some(Number(9))));
    assert_eq!(
        damage.to_string(),
        format!(
            "{name} holds a record that is not what was written (byte {at}); records 4 to 9 would \
             be lost"
        )
    );
}

#[test]
fn an_end_that_may_have_been_synced_is_not_called_unsynced() {
    let (disk, name, at) = killed_with_bad_record(9);
    let size = crate::record::size(10);
    assert_eq!(
        reopen(&disk).tail.unwrap().to_string(),
        format!(
            "the records from 10 on can't be read and are left out: 1 records, {size} bytes, from \
             byte {at} of {name}. Nothing says that they were synced: after a loss of power \
             nobody had an answer to them; otherwise the file is damaged, and something that was \
             answered may be missing"
        )
    );
}

#[test]
fn an_older_manifest_is_noticed() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    log.append(b"one");
    log.sync();
    let old = disk.bytes("manifest").unwrap();
    for _ in 0..100 {
        log.append(&[1; 1000]);
        log.sync();
    }
    drop(log);
    let disk = disk.after_kill();
    disk.set_bytes("manifest", old);
    let Err(OpenError::Damaged(damage)) = open(&disk, Number(1)) else { panic!() };
    assert_eq!(damage.what, Fault::Unlisted);
}

#[test]
fn another_document_in_place_of_the_manifest_is_no_manifest_of_another_format() {
    #[derive(serde::Serialize)]
    struct Other {
        format: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        segments: Option<Vec<u64>>,
    }
    let disk = SimDisk::default();
    drop(reopen(&disk));
    let opened = |segments| {
        let other = Other { format: 2, segments };
        crate::document::write(&disk, "manifest", &other).unwrap();
        open(&disk, Number(1)).err().unwrap().to_string()
    };
    let error = opened(None);
    assert!(error.starts_with("manifest is not what was written"), "{error}");
    let error = opened(Some(Vec::new()));
    assert_eq!(error, "the journal has format 2; this version reads format 1");
}
