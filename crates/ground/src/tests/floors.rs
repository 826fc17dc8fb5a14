//! Floors: what is below them is gone, for good, and gives its room back.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use journal::sim::{Action, SimDisk};
use journal::{Disk, document};

use super::{SMALL, Stand, all, open};
use crate::tree::LIST;
use crate::{Change, Ground, GroundError, Key, Options, verify};

/// A key in a table that has filters.
fn key(number: u16) -> Key {
    Key::new(&[&[1], number.to_be_bytes().as_slice()].concat()).unwrap()
}

fn files(disk: &SimDisk) -> usize {
    disk.names().unwrap().iter().filter(|name| name.ends_with(".sorted")).count()
}

fn settle(ground: &mut Ground<SimDisk>) {
    ground.commit().unwrap();
    ground.sync().unwrap();
    while ground.work().unwrap() {}
}

/// A store with three runs of 100 keys, one behind the other, the oldest with the lowest keys.
fn three_runs(disk: &SimDisk) -> (Ground<SimDisk>, Stand) {
    let (mut ground, mut model) = (open(disk).unwrap(), Stand::default());
    // Each run is too small to be merged with the one before.
    for (from, bytes) in [(0, 2_000), (100, 600), (200, 200)] {
        for number in from..from + 100 {
            let change = Change::Insert(key(number), Bytes::from(vec![1; bytes]));
            model.apply(change.clone());
            ground.change(change);
        }
        ground.since_checkpoint = u64::MAX / 2;
        settle(&mut ground);
    }
    assert_eq!(ground.tree.lock().runs.len(), 3);
    (ground, model)
}

#[test]
fn files_below_a_durable_floor_go_unread_and_others_stay() {
    let disk = SimDisk::default();
    let (mut ground, mut model) = three_runs(&disk);
    let (before, bytes) = (files(&disk), ground.bytes_of(1));
    assert!(bytes > 280_000, "{bytes}");
    model.apply(Change::Floor(key(230)));
    ground.change(Change::Floor(key(230)));
    assert_eq!(Stand::of(&ground), model, "seen at once");
    ground.commit().unwrap();
    while ground.tree.work().unwrap() {}
    assert_eq!(files(&disk), before, "a loss of power would bring the keys back");
    disk.refuse(Action::Read, ErrorKind::Other, u64::MAX);
    settle(&mut ground);
    assert_eq!((files(&disk), ground.tree.lock().runs.len()), (2, 1));
    disk.refuse_nothing();
    assert_eq!((ground.trouble(), Stand::of(&ground)), (None, model.clone()));
    assert!((20_000..30_000).contains(&ground.bytes_of(1)), "{}", ground.bytes_of(1));
    assert_eq!((ground.bytes_of(0), ground.bytes_of(2)), (0, 0));
    let mut random = fastrand::Rng::with_seed(1);
    for disk in [disk.after_kill(), disk.after_power_loss(&mut random)] {
        assert_eq!(Stand::of(&open(&disk).unwrap()), model);
        let (verified, contents) = verify(&disk).unwrap();
        assert!(verified.is_whole(), "{verified:?}");
        let mut pairs = super::Model::new();
        contents.each(&mut |key, value| drop(pairs.insert(key, value))).unwrap();
        assert_eq!(pairs, model.pairs);
        assert_eq!(contents.floors().collect::<Vec<_>>(), [key(230)]);
    }
}

#[test]
fn a_floor_in_the_journal_drops_files_after_the_next_start() {
    let disk = SimDisk::default();
    let (mut ground, mut model) = three_runs(&disk);
    model.apply(Change::Floor(key(300)));
    ground.change(Change::Floor(key(300)));
    ground.commit().unwrap();
    let disk = disk.after_kill();
    let mut ground = open(&disk).unwrap();
    assert_eq!(Stand::of(&ground), model);
    settle(&mut ground);
    assert_eq!((files(&disk), Stand::of(&ground)), (0, model));
}

#[test]
fn a_floor_outlives_the_journal_and_only_a_removal_of_everything_ends_it() {
    let disk = SimDisk::default();
    let put = |number| Change::Put(key(number), Bytes::from_static(b"value"));
    let mut ground = open(&disk).unwrap();
    ground.change(Change::Floor(key(20)));
    ground.commit().unwrap();
    ground.close().unwrap();
    let mut ground = open(&disk).unwrap();
    assert_eq!(ground.since_checkpoint, 0, "the list alone has it");
    ground.change(Change::Floor(key(10)));
    [put(15), put(25)].into_iter().for_each(|change| ground.change(change));
    settle(&mut ground);
    assert_eq!((ground.get(&key(15)).unwrap(), all(&ground).len()), (None, 1));
    // The floor after it counts; not the ones before.
    ground.change(Change::Clear);
    [put(15), put(25)].into_iter().for_each(|change| ground.change(change));
    ground.change(Change::Floor(key(12)));
    ground.change(put(11));
    settle(&mut ground);
    let stands = |ground: &Ground<SimDisk>| all(ground).keys().copied().collect::<Vec<_>>();
    assert_eq!(stands(&ground), [key(15), key(25)]);
    assert_eq!(stands(&open(&disk.after_kill()).unwrap()), [key(15), key(25)]);
    ground.close().unwrap();
    let ground = open(&disk).unwrap();
    assert_eq!(stands(&ground), [key(15), key(25)]);
    assert_eq!(ground.memory.floors().iter().collect::<Vec<_>>(), [key(12)]);
}

#[test]
fn a_merge_writes_nothing_that_is_below_a_floor() {
    let disk = SimDisk::default();
    let options = Options { file_bytes: 1 << 20, ..SMALL };
    let opened = Ground::open_without_threads(Arc::new(disk.clone()), options, Arc::new(|| {}));
    let mut ground = opened.unwrap().0;
    for half in 0..2 {
        for number in 0..100 {
            let key = key(number * 2 + half);
            ground.change(Change::Insert(key, Bytes::from(vec![1; 500])));
        }
        ground.commit().unwrap();
        ground.sync().unwrap();
        assert!(ground.tree.save().unwrap());
    }
    ground.change(Change::Floor(key(150)));
    ground.commit().unwrap();
    ground.sync().unwrap();
    while ground.work().unwrap() {}
    let runs = ground.tree.lock().runs.clone();
    assert_eq!((runs.len(), runs[0].pairs()), (1, 50));
}

#[test]
fn a_list_of_the_format_before_is_read_and_a_later_one_is_refused_by_its_number() {
    let disk = SimDisk::default();
    let (mut ground, model) = three_runs(&disk);
    ground.close().unwrap();
    drop(ground);
    let mut list: serde_json::Value = document::read(&disk, LIST, 2).unwrap();
    assert!(list.as_object_mut().unwrap().remove("floors").is_some());
    list["format"] = 1.into();
    document::write(&disk, LIST, &list).unwrap();
    assert_eq!(Stand::of(&open(&disk).unwrap()), model);
    let mut list: serde_json::Value = document::read(&disk, LIST, 2).unwrap();
    list["format"] = 3.into();
    document::write(&disk, LIST, &list).unwrap();
    let refused = open(&disk).err().unwrap();
    assert!(matches!(refused, GroundError::Format { found: 3, expected: 2 }), "{refused}");
}
