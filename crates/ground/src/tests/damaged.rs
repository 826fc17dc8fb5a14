//! Damage: what was written is there, or the store says that it is not.

use super::{Model, all, key, open, set};
use crate::{Change, GroundError};
use bytes::Bytes;
use journal::Disk;
use journal::sim::SimDisk;

/// A closed store of several runs.
pub(super) fn store(random: &mut fastrand::Rng) -> (SimDisk, Model) {
    let disk = SimDisk::default();
    let mut ground = open(&disk).unwrap();
    let mut model = Model::new();
    for _ in 0..random.usize(200..2000) {
        let key = key(random);
        let value =
            (random.u8(..3) != 0).then(|| Bytes::from(vec![random.u8(..); random.usize(..300)]));
        set(&mut ground, &mut model, key, value);
        if random.u8(..10) == 0 {
            ground.commit().unwrap();
        }
        if random.u8(..20) == 0 {
            // Some runs stay unmerged.
            while ground.log.work() {}
            ground.commit().unwrap();
            if random.bool() {
                ground.tree.work().unwrap();
            }
        }
    }
    ground.close().unwrap();
    (disk.after_kill(), model)
}

/// Harms a random file, more often than not a sorted one.
pub(super) fn harm(disk: &SimDisk, random: &mut fastrand::Rng) -> String {
    let names: Vec<_> = disk.names().unwrap();
    let sorted: Vec<_> = names.iter().filter(|name| name.ends_with(".sorted")).collect();
    let harm = match sorted.get(random.usize(..=sorted.len())) {
        Some(name) => disk.harm(name, random),
        None => disk.harm(&names[random.usize(..names.len())], random),
    };
    if harm == r#"manifest is a copy of Some("list")"# {
        // The journal would say that it has the list's format, and refuse it as such.
        disk.set_bytes("manifest", b"a list".to_vec());
    }
    harm
}

#[test]
fn a_harmed_store_does_not_open_or_sets_aside_what_it_says() {
    let (mut refused, mut aside) = (0, 0);
    for seed in 0..1000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, model) = store(&mut random);
        let harm = harm(&disk, &mut random);
        let ground = match open(&disk) {
            Ok(ground) => ground,
            Err(
                GroundError::Damaged { .. } | GroundError::Journal(journal::OpenError::Damaged(_)),
            ) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("seed {seed}, {harm}: {error}"),
        };
        let found = all(&ground);
        for (key, value) in &found {
            assert_eq!(model.get(key), Some(value), "seed {seed}, {harm}: {key}");
        }
        if found.len() < model.len() {
            assert!(ground.bad_blocks() > 0, "seed {seed}, {harm}: silently less");
            aside += 1;
        }
        for key in model.keys() {
            assert_eq!(ground.get(key).unwrap().as_ref(), found.get(key), "seed {seed}, {harm}");
        }
    }
    assert!(refused > 200 && aside > 200, "{refused} {aside}");
}

#[test]
fn a_store_with_a_bad_block_goes_on_and_never_merges_it() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (disk, _) = store(&mut random);
        let name = disk.names().unwrap().into_iter().find(|name| name.ends_with(".sorted"));
        let Some(name) = name else { continue };
        let mut bytes = disk.bytes(&name).unwrap();
        bytes[100] ^= 1;
        disk.set_bytes(&name, bytes);
        let mut ground = open(&disk).unwrap();
        let mut model = all(&ground);
        for _ in 0..3000 {
            let key = key(&mut random);
            // Of a key that was set aside nobody knows whether it is new.
            let value = Bytes::from(vec![random.u8(..); 200]);
            model.insert(key, value.clone());
            ground.change(Change::Put(key, value));
            ground.commit().unwrap();
            while ground.work().unwrap() {}
        }
        assert_eq!(all(&ground), model);
        ground.close().unwrap();
        let ground = open(&disk).unwrap();
        assert_eq!(all(&ground), model);
        let runs = ground.tree.lock().runs.clone();
        let mut files = runs.iter().flat_map(|run| &run.files);
        assert!(files.any(|file| file.summary.name() == name), "it is still there for a repair");
        assert_eq!(ground.bad_blocks(), 1);
        assert!(runs.len() < 10, "the others are merged: {}", runs.len());
    }
}
