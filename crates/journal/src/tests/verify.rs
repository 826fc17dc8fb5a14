//! A journal is read without changing it: what was harmed is found, and the rest is handed out.

use super::damaged::{Left, harm, journal};
use super::{Records, open};
use crate::sim::SimDisk;
use crate::{Disk, Number, OpenError, Verified, verify};

fn read(disk: &SimDisk, needed: Number) -> (Verified, Records) {
    let mut records = Records::new();
    let mut take = |number, record: &[u8]| {
        assert!(records.insert(number, record.to_vec()).is_none());
        Ok(())
    };
    let before: Vec<_> = disk.names().unwrap();
    let written = disk.counts();
    let verified = verify(disk, needed, &mut take).unwrap();
    assert_eq!((disk.names().unwrap(), disk.counts()), (before, written), "it was changed");
    (verified, records)
}

#[test]
fn a_whole_journal_is_read_as_opening_reads_it() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        for left in [Left::Closed, Left::Resting, Left::Busy] {
            let journal = journal(&mut random, left);
            let (verified, records) = read(&journal.disk, Number(1));
            assert!(verified.is_whole(), "seed {seed}, {left:?}: {verified:?}");
            assert_eq!(records, journal.records);
            assert_eq!(Some(&verified.last), records.keys().last());
        }
    }
}

#[test]
fn what_keeps_a_journal_from_opening_is_found_and_the_other_records_are_read() {
    let (mut refused, mut kept) = (0, 0);
    for seed in 0..1000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let left = [Left::Closed, Left::Resting, Left::Busy][random.usize(..3)];
        let journal = journal(&mut random, left);
        let harm = harm(&journal.disk, &mut random);
        let context = format!("seed {seed}, {left:?}, {harm}");
        let (verified, records) = read(&journal.disk, Number(1));
        for (number, record) in &records {
            assert_eq!(journal.records.get(number), Some(record), "{context}: {number}");
        }
        match open(&journal.disk.after_kill(), Number(1)) {
            Ok(opened) => {
                assert_eq!(opened.records, records, "{context}");
                assert_eq!(opened.tail, verified.tail, "{context}");
                assert!(verified.is_whole(), "{context}: {verified:?}");
            }
            Err(OpenError::Damaged(_)) => {
                refused += 1;
                kept += usize::from(!records.is_empty());
                assert!(!verified.is_whole(), "{context}");
                let missing = journal
                    .records
                    .keys()
                    .filter(|number| **number <= verified.durable && !records.contains_key(number));
                for number in missing {
                    let is_told = verified
                        .lost
                        .iter()
                        .any(|damage| damage.lost.0 <= *number && Some(*number) <= damage.lost.1);
                    assert!(is_told, "{context}: {number} is missing silently");
                }
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }
    assert!(refused > 300 && kept > 200, "{refused} {kept}");
}

#[test]
fn one_bad_record_or_a_missing_manifest_costs_no_other_record() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let journal = journal(&mut random, Left::Closed);
        if random.bool() {
            journal.disk.remove("manifest").unwrap();
            let (verified, records) = read(&journal.disk, Number(1));
            assert!(!verified.is_whole());
            assert_eq!(records, journal.records, "seed {seed}");
            continue;
        }
        let names = journal.disk.names().unwrap();
        let name = names.iter().find(|name| name.ends_with(".segment")).unwrap();
        let mut bytes = journal.disk.bytes(name).unwrap();
        bytes[4096 + 8] ^= 1;
        journal.disk.set_bytes(name, bytes);
        let (verified, records) = read(&journal.disk, Number(1));
        let [lost] = verified.lost.as_slice() else { panic!("seed {seed}: {verified:?}") };
        assert_eq!((lost.lost, lost.offset), ((Number(1), Some(Number(1))), 4096));
        assert_eq!(records.len() + 1, journal.records.len());
    }
}
