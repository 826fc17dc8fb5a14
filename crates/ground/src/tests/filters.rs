//! Files with filters: what they save, and what lies in them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use journal::Disk;
use journal::sim::{Action, SimDisk};

use super::{Model, SMALL, all};
use crate::{Change, Ground, Key, Options, verify};

const FILTERED: &[u8] = b"bd";

fn open(disk: &SimDisk) -> Ground<SimDisk> {
    let options = Options { filtered: FILTERED, ..SMALL };
    Ground::open_without_threads(Arc::new(disk.clone()), options, Arc::new(|| {})).unwrap().0
}

fn key(table: u8, number: u32) -> Key {
    Key::new(&[&[table], number.to_be_bytes().as_slice()].concat()).unwrap()
}

fn settle(ground: &mut Ground<SimDisk>) {
    ground.commit().unwrap();
    ground.sync().unwrap();
    while ground.work().unwrap() {}
}

/// Even numbers in five tables.
fn fill(ground: &mut Ground<SimDisk>) {
    for number in 0..1_000 {
        for table in b'a'..=b'e' {
            ground.change(Change::Put(key(table, 2 * number), Bytes::from_static(b"value")));
        }
    }
    settle(ground);
}

#[test]
fn what_is_not_there_is_known_without_reading() {
    let disk = SimDisk::default();
    fill(&mut open(&disk));
    let mut ground = open(&disk);
    ground.close().unwrap();
    let ground = open(&disk);
    disk.refuse(Action::Read, ErrorKind::Other, u64::MAX);
    let misses = |table| (0..1_000).filter(|n| ground.get(&key(table, 2 * n + 1)).is_ok()).count();
    for (table, least, most) in [(b'b', 970, 999), (b'd', 970, 999), (b'c', 0, 1)] {
        let misses = misses(table);
        assert!((least..=most).contains(&misses), "{table}: {misses}");
    }
    disk.refuse_nothing();
    for table in b'a'..=b'e' {
        assert!((0..1_000).all(|number| ground.get(&key(table, 2 * number)).unwrap().is_some()));
    }
    // Ten bits for each key, in whole blocks of 32 bytes for each file.
    let files = disk.names().unwrap().len() as u64;
    assert!((2_500..2_500 + 32 * files).contains(&ground.filter_bytes()));
    assert!(ground.bytes_of(b'b') > 1_000 * 15 && ground.bytes_of(b'f') == 0);
}

#[test]
fn a_filtered_table_lies_in_files_of_its_own() {
    let disk = SimDisk::default();
    let mut ground = open(&disk);
    for _ in 0..3 {
        fill(&mut ground);
    }
    let runs = ground.tree.lock().runs.clone();
    let mut seen = BTreeSet::new();
    for file in runs.iter().flat_map(|run| &run.files) {
        let (first, last) = file.range();
        let [first, last] = [first, last].map(|key| key.as_slice()[0]);
        seen.insert((first, last));
        assert_eq!(file.filter_bytes() > 0, FILTERED.contains(&first));
    }
    assert_eq!(seen, [b'a', b'b', b'c', b'd', b'e'].map(|table| (table, table)).into());
}

#[test]
fn a_bad_filter_costs_no_key_and_is_told_and_a_merge_mends_it() {
    let disk = SimDisk::default();
    let mut ground = open(&disk);
    fill(&mut ground);
    ground.close().unwrap();
    let model = all(&ground);
    let runs = ground.tree.lock().runs.clone();
    let mut files = runs.iter().flat_map(|run| &run.files);
    let file = files.find(|file| file.filter_bytes() > 0).unwrap();
    let name = file.summary.name();
    let mut bytes = disk.bytes(&name).unwrap();
    let foot = bytes.len() - 64;
    let filter_at = u64::from_le_bytes(bytes[foot + 32..foot + 40].try_into().unwrap());
    bytes[usize::try_from(filter_at).unwrap() + 7] ^= 0xFF;
    disk.set_bytes(&name, bytes);
    drop(ground);

    let mut ground = open(&disk);
    assert_eq!((ground.bad_filters(), ground.bad_blocks()), (1, 0));
    assert!(model.iter().all(|(key, value)| ground.get(key).unwrap().as_ref() == Some(value)));
    let (verified, contents) = verify(&disk).unwrap();
    assert!(!verified.is_whole() && verified.bad_blocks.is_empty());
    assert_eq!(verified.faults.len(), 1);
    assert_eq!(verified.faults[0].file, name);
    assert!(verified.faults[0].what.contains("filter"));
    let mut found = Model::new();
    contents.each(&mut |key, value| drop(found.insert(key, value))).unwrap();
    assert_eq!(found, model);

    fill(&mut ground);
    assert_eq!((ground.bad_filters(), all(&ground)), (0, model));
    assert!(verify(&disk).unwrap().0.is_whole());
}

#[test]
fn a_store_without_filters_gets_them_and_keeps_them_when_none_are_asked_for() {
    let disk = SimDisk::default();
    let without = Options { filtered: &[], ..SMALL };
    let open_without = || {
        let disk = Arc::new(disk.clone());
        Ground::open_without_threads(disk, without, Arc::new(|| {})).unwrap().0
    };
    let mut ground = open_without();
    fill(&mut ground);
    ground.close().unwrap();
    let model = all(&ground);
    assert_eq!(ground.filter_bytes(), 0);
    drop(ground);
    let mut ground = open(&disk);
    assert_eq!((ground.filter_bytes(), ground.bad_filters(), all(&ground)), (0, 0, model.clone()));
    fill(&mut ground);
    assert!(ground.filter_bytes() > 0 && all(&ground) == model);
    ground.close().unwrap();
    drop(ground);
    let ground = open_without();
    assert!(ground.filter_bytes() > 0 && all(&ground) == model);
}

/// Does all that is to be done; the bytes that went into files of a table, some of which may be
/// gone again.
fn written_for(ground: &mut Ground<SimDisk>, table: u8, known: &mut BTreeSet<u64>) -> u64 {
    let mut written = 0;
    ground.commit().unwrap();
    ground.sync().unwrap();
    while ground.log.work() {}
    while ground.tree.work().unwrap() {
        let runs = ground.tree.lock().runs.clone();
        for file in runs.iter().flat_map(|run| &run.files) {
            if known.insert(file.summary.id) {
                written += file.bytes_of(table);
            }
        }
    }
    written
}

#[test]
fn keys_in_the_order_of_time_are_moved_by_merges_and_lie_in_few_files() {
    let disk = SimDisk::default();
    let mut ground = open(&disk);
    let mut random = fastrand::Rng::with_seed(1);
    let (mut known, mut written, mut open_files) = (BTreeSet::new(), 0, 0);
    for round in 0..100_u64 {
        for number in 0..200 {
            // A few come late.
            let time = (round * 200 + number).saturating_sub(random.u64(..5));
            let id = [time.to_be_bytes(), random.u64(..).to_be_bytes()].concat();
            let id = Key::new(&[b"b", id.as_slice()].concat()).unwrap();
            ground.change(Change::Insert(id, Bytes::from(vec![0; 16])));
            let other = key(b'c', random.u32(..500));
            ground.change(Change::Put(other, Bytes::from_static(b"other")));
        }
        written += written_for(&mut ground, b'b', &mut known);
        open_files = open_files.max(disk.open_files());
    }
    let kept = ground.bytes_of(b'b');
    assert!(kept > 100 * 200 * (5 + 17 + 16));
    assert!(written < 3 * kept, "{written} {kept}");
    assert!(open_files < 100, "{open_files}");
}
