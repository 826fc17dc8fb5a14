//! A store is read without changing it, and all that was harmed is found.

use journal::Disk;
use journal::sim::SimDisk;

use super::damaged::{harm, store};
use super::{Model, all, open};
use bytes::Bytes;

use crate::{Change, GroundError, Key, Verified, salvage, verify};

fn read(disk: &SimDisk) -> (Verified, Model) {
    let before = (disk.names().unwrap(), disk.counts());
    let (verified, contents) = verify(disk).unwrap();
    let mut model = Model::new();
    contents.each(&mut |key, value| assert!(model.insert(key, value).is_none())).unwrap();
    assert_eq!((disk.names().unwrap(), disk.counts()), before, "it was changed");
    (verified, model)
}

#[test]
fn a_store_is_read_as_opening_reads_it_and_what_keeps_it_from_that_is_found() {
    let (mut refused, mut aside) = (0, 0);
    for seed in 0..1000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, model) = store(&mut random);
        if seed % 10 == 0 {
            let (verified, found) = read(&disk);
            assert!(verified.is_whole(), "seed {seed}: {verified:?}");
            assert_eq!(found, model);
        }
        let harm = harm(&disk, &mut random);
        let (verified, found) = read(&disk);
        let context = format!("seed {seed}, {harm}: {verified:?}");
        match open(&disk.after_kill()) {
            Ok(ground) => {
                assert_eq!(all(&ground), found, "{context}");
                let is_bad = ground.bad_blocks() > 0;
                assert!(!is_bad || !verified.is_whole(), "{context}");
                assert!(is_bad || found == model, "{context}");
                aside += usize::from(is_bad);
            }
            Err(
                GroundError::Damaged { .. } | GroundError::Journal(journal::OpenError::Damaged(_)),
            ) => {
                assert!(!verified.is_whole(), "{context}");
                refused += 1;
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }
    assert!(refused > 200 && aside > 200, "{refused} {aside}");
}

fn salvaged(disk: &SimDisk) -> (Verified, Model) {
    let before = (disk.names().unwrap(), disk.counts());
    let (verified, contents) = salvage(disk).unwrap();
    let mut model = Model::new();
    contents.each(&mut |key, value| assert!(model.insert(key, value).is_none())).unwrap();
    assert_eq!((disk.names().unwrap(), disk.counts()), before, "it was changed");
    (verified, model)
}

/// A closed store of keys that are inserted once and removed at most once; what it has, and the
/// keys that were removed.
fn once(random: &mut fastrand::Rng) -> (SimDisk, Model) {
    let disk = SimDisk::default();
    let mut ground = open(&disk).unwrap();
    let mut model = Model::new();
    for number in 0..random.u16(200..2000) {
        let key = Key::new(&number.to_be_bytes()).unwrap();
        let value = Bytes::from(vec![random.u8(..); random.usize(..300)]);
        model.insert(key, value.clone());
        ground.change(Change::Insert(key, value));
        if random.u8(..3) == 0 {
            let old = Key::new(&random.u16(..=number).to_be_bytes()).unwrap();
            if model.remove(&old).is_some() {
                ground.change(Change::Remove(old));
            }
        }
        if random.u8(..10) == 0 {
            ground.commit().unwrap();
            while random.bool() && ground.work().unwrap() {}
        }
    }
    ground.close().unwrap();
    (disk.after_kill(), model)
}

#[test]
fn a_missing_list_or_manifest_or_files_with_each_others_names_cost_nothing() {
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, model) = once(&mut random);
        let names = disk.names().unwrap();
        let sorted: Vec<_> = names.iter().filter(|name| name.ends_with(".sorted")).collect();
        match (seed % 4, sorted.as_slice()) {
            (0, _) => disk.remove("manifest").unwrap(),
            (1, _) => disk.set_bytes("list", b"nonsense".to_vec()),
            (2, [a, .., b]) => {
                let bytes = [a, b].map(|name| disk.bytes(name).unwrap());
                let [of_a, of_b] = bytes;
                disk.set_bytes(a, of_b);
                disk.set_bytes(b, of_a);
            }
            (_, [name, ..]) => {
                // The foot and a part of the index.
                let mut bytes = disk.bytes(name).unwrap();
                bytes.truncate(bytes.len() - 70);
                disk.set_bytes(name, bytes);
            }
            _ => continue,
        }
        let (verified, found) = salvaged(&disk);
        assert!(!verified.is_whole(), "seed {seed}");
        assert_eq!(found, model, "seed {seed}: {verified:?}");
    }
}

#[test]
fn what_was_not_harmed_is_salvaged_and_what_is_missing_is_told() {
    let mut less = 0;
    for seed in 0..1000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, model) = once(&mut random);
        let harm = harm(&disk, &mut random);
        let (verified, found) = salvaged(&disk);
        let context = format!("seed {seed}, {harm}: {verified:?}");
        let is_less = model.iter().any(|(key, value)| found.get(key) != Some(value));
        assert!(!is_less || !verified.is_whole(), "{context}");
        less += usize::from(is_less);
        // A bit costs a block or a record, and no other key.
        if harm.starts_with("a bit") && verified.faults.is_empty() {
            let is_told = |key: &Key| {
                !verified.journal.lost.is_empty()
                    || verified.bad_blocks.iter().any(|bad| bad.from <= *key && *key < bad.to)
            };
            let missing = model.keys().filter(|key| !found.contains_key(*key));
            missing.for_each(|key| assert!(is_told(key), "{context}: {key}"));
        }
    }
    assert!(less > 200, "{less}");
}
