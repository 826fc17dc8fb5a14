//! Room that is given back, and how much is open and held.

use std::sync::Arc;

use bytes::Bytes;
use journal::sim::SimDisk;
use journal::{Disk, DiskFile, Folder};

use super::{Model, all, set};
use crate::{Change, Ground, Key, Options};

/// A 64th of the usual.
const SCALE: u64 = 64;

fn scaled() -> Options {
    let usual = Options::default();
    let segment_bytes = usual.journal.segment_bytes / SCALE;
    Options {
        journal: journal::Options { segment_bytes, ..usual.journal },
        memory_bytes: usual.memory_bytes / SCALE as usize,
        journal_bytes: usual.journal_bytes / SCALE,
        cache_bytes: usual.cache_bytes / SCALE as usize,
        file_bytes: usual.file_bytes / SCALE,
        ballast_bytes: 0,
        ..usual
    }
}

fn open(disk: &SimDisk) -> Ground<SimDisk> {
    Ground::open_without_threads(Arc::new(disk.clone()), scaled(), Arc::new(|| {})).unwrap().0
}

fn key(number: u32) -> Key {
    Key::new(&number.to_be_bytes()).unwrap()
}

fn on_disk(disk: &SimDisk) -> u64 {
    let names = disk.names().unwrap();
    names.iter().map(|name| disk.open(name).unwrap().length().unwrap()).sum()
}

fn work(ground: &mut Ground<SimDisk>) {
    ground.flush();
    while ground.work().unwrap() {}
}

/// A store with many small values, and few large ones that are most of its bytes.
fn fill(ground: &mut Ground<SimDisk>) {
    for number in 0..6_000 {
        let bytes = if number % 100 == 0 { 100_000 } else { 100 };
        ground.change(Change::Insert(key(number), vec![1; bytes].into()));
        if number % 50 == 0 {
            ground.commit().unwrap();
            work(ground);
        }
    }
    ground.commit().unwrap();
    work(ground);
}

#[test]
fn at_rest_the_disk_holds_at_most_twice_what_lives_and_a_little() {
    type Remove = fn(&mut Ground<SimDisk>);
    let all: Remove = |ground| ground.change(Change::Clear);
    let each: Remove = |ground| {
        for number in 0..6_000 {
            ground.change(Change::Remove(key(number)));
            if number % 50 == 0 {
                ground.commit().unwrap();
                work(ground);
            }
        }
    };
    let large: Remove = |ground| {
        (0..60).for_each(|number| ground.change(Change::Remove(key(number * 100))));
    };
    for (name, remove, live) in [("all", all, 0), ("each", each, 0), ("large", large, 6_000 * 110)]
    {
        let disk = SimDisk::default();
        let mut ground = open(&disk);
        fill(&mut ground);
        assert!(on_disk(&disk) > 6_000_000, "{name}");
        remove(&mut ground);
        ground.commit().unwrap();
        work(&mut ground);
        ground.rest();
        work(&mut ground);
        let bound = 2 * live + 64_000_000 / SCALE;
        assert!(on_disk(&disk) <= bound, "{name}: {} > {bound}", on_disk(&disk));
        let spent = disk.counts().written;
        ground.rest();
        work(&mut ground);
        assert_eq!(disk.counts().written, spent, "{name}: it has come to rest");
    }
}

#[test]
fn after_a_close_nothing_is_left_to_replay() {
    let disk = SimDisk::default();
    let mut ground = open(&disk);
    fill(&mut ground);
    // What is new and goes leaves nothing in files, but records.
    ground.change(Change::Insert(key(9_999), Bytes::from_static(b"short")));
    ground.commit().unwrap();
    ground.change(Change::Remove(key(9_999)));
    let model = all(&ground);
    ground.close().unwrap();
    let ground = open(&disk);
    assert_eq!((ground.since_checkpoint, ground.memory.bytes()), (0, 0));
    assert_eq!(all(&ground), model);
    let bound = 2 * model.values().map(|value| value.len() as u64 + 10).sum::<u64>();
    assert!(on_disk(&disk) < bound + 64_000_000 / SCALE);
}

#[test]
fn there_are_few_open_files_however_large_the_store_is() {
    let disk = SimDisk::default();
    let options = Options { memory_bytes: 20_000, file_bytes: 2_000, ..scaled() };
    let opened = Ground::open_without_threads(Arc::new(disk.clone()), options, Arc::new(|| {}));
    let mut ground = opened.unwrap().0;
    let (mut random, mut most) = (fastrand::Rng::with_seed(1), 0);
    for _ in 0..4_000 {
        for _ in 0..10 {
            let key = key(random.u32(..20_000));
            ground.change(Change::Put(key, vec![1; random.usize(..400)].into()));
        }
        ground.commit().unwrap();
        work(&mut ground);
        most = most.max(disk.open_files());
    }
    let bytes = all(&ground).values().map(Bytes::len).sum::<usize>();
    assert!(bytes > 1_000 * 2_000, "a thousand files of the usual length: {bytes}");
    assert!(most < 256, "{most}");
}

#[test]
fn values_of_64_mib_are_written_in_one_group_and_read_without_a_copy() {
    const LARGE: usize = 64 << 20;
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let disk = Arc::new(Folder::lock(folder.path()).unwrap());
        Ground::open_without_threads(disk, Options::default(), Arc::new(|| {})).unwrap().0
    };
    let mut ground = open();
    let value = |number: u32| Bytes::from(vec![u8::try_from(number).unwrap(); LARGE]);
    for number in 1..=5 {
        let change = if number % 2 == 0 { Change::Insert } else { Change::Put };
        ground.change(change(key(number), value(number)));
    }
    // More than a record takes, in one commit.
    ground.commit().unwrap();
    let [first, again] = [(); 2].map(|()| ground.get(&key(1)).unwrap().unwrap());
    assert_eq!((first.len(), first.as_ptr()), (LARGE, again.as_ptr()), "out of the memory");
    drop((first, again, ground));
    let mut ground = open();
    for number in 1..=5 {
        assert!(ground.get(&key(number)).unwrap().unwrap() == value(number), "{number}");
    }
    ground.close().unwrap();
    drop(ground);
    let ground = open();
    assert_eq!(ground.memory.bytes(), 0);
    for number in 1..=5 {
        let [first, again] = [(); 2].map(|()| ground.get(&key(number)).unwrap().unwrap());
        assert!(first == value(number), "{number}");
        assert_eq!(first.as_ptr(), again.as_ptr(), "out of a block that was read");
    }
}

#[test]
fn a_store_with_threads_is_what_a_model_says() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, mut random) = (Model::new(), fastrand::Rng::with_seed(5));
    for _ in 0..4 {
        let (sender, receiver) = std::sync::mpsc::channel();
        let wake = Arc::new(move || sender.send(()).unwrap_or_default());
        let disk = Arc::new(Folder::lock(folder.path()).unwrap());
        let mut ground = Ground::open(disk, super::SMALL, wake).unwrap().0;
        assert_eq!(ground.range(&Key::FIRST, &Key::LAST, usize::MAX).unwrap().len(), model.len());
        for round in 0..300 {
            for _ in 0..20 {
                let key = key(random.u32(..500));
                let value = (random.u8(..3) != 0)
                    .then(|| Bytes::from(vec![random.u8(..); random.usize(..300)]));
                set(&mut ground, &mut model, key, value);
            }
            let number = ground.commit().unwrap();
            ground.flush();
            while round % 10 == 0 && ground.durable().unwrap() < number {
                receiver.recv().unwrap();
            }
            if round == 200 {
                ground.change(Change::Clear);
                model.clear();
            }
        }
        ground.commit().unwrap();
        ground.rest();
        let found = ground.range(&Key::FIRST, &Key::LAST, usize::MAX).unwrap();
        assert_eq!(found.into_iter().collect::<Model>(), model);
        assert_eq!(ground.trouble(), None);
        ground.close().unwrap();
    }
}
