//! A disk with nothing free: a store opens on it all the same, and gives room back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use journal::Disk;
use journal::sim::{SimDisk, Watched, Watcher};

use super::SMALL;
use crate::{Change, Ground, GroundError, Key, Options};

const OPTIONS: Options = Options { ballast_bytes: 50_000, ..SMALL };
const PAIRS: u16 = 400;

/// So many bytes have room on a disk.
struct Room(AtomicU64);

type Small = Watched<Room>;

impl Room {
    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::SeqCst);
    }
}

impl Watcher for Room {
    fn writes(&self, disk: &SimDisk, _: &str, growth: u64) -> io::Result<()> {
        if growth > 0 && self.free_bytes(disk).is_some_and(|free| free < growth) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn free_bytes(&self, disk: &SimDisk) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst).saturating_sub(used(disk)))
    }
}

fn used(disk: &SimDisk) -> u64 {
    let names = disk.names().unwrap();
    names.iter().map(|name| disk.bytes(name).unwrap().len() as u64).sum()
}

fn has(disk: &Small, name: &str) -> bool {
    disk.disk.bytes(name).is_some()
}

fn key(number: u16) -> Key {
    Key::new(&number.to_be_bytes()).unwrap()
}

fn open(disk: &Small) -> Result<Ground<Small>, GroundError> {
    let disk = Arc::new(disk.clone());
    Ok(Ground::open_without_threads(disk, OPTIONS, Arc::new(|| {}))?.0)
}

/// A store with sorted files and a journal behind them, whose process was killed; then the disk
/// is filled to the last byte by somebody else.
fn full(has_ballast: bool) -> Small {
    let disk =
        Small { disk: SimDisk::default(), watcher: Arc::new(Room(AtomicU64::new(u64::MAX))) };
    let mut ground = open(&disk).unwrap();
    for number in 0..PAIRS {
        ground.change(Change::Insert(key(number), Bytes::from(vec![7; 500])));
        ground.commit().unwrap();
        ground.flush();
        while ground.work().unwrap() {}
    }
    if has_ballast {
        ground.tree.make_ballast();
        assert_eq!(disk.disk.bytes("ballast").map(|bytes| bytes.len()), Some(50_000));
    }
    drop(ground);
    disk.watcher.set(used(&disk.disk));
    disk
}

#[test]
fn on_a_full_disk_a_store_opens_is_emptied_and_gives_its_room_back() {
    let error = open(&full(false)).err().unwrap().to_string();
    assert!(error.ends_with("no storage space"), "{error}");

    let disk = full(true);
    let before = used(&disk.disk);
    let mut ground = open(&disk).unwrap();
    assert!(!has(&disk, "ballast"));
    let found = ground.range(&Key::FIRST, &Key::LAST, usize::MAX).unwrap();
    assert_eq!(found.len(), usize::from(PAIRS));
    for number in 0..PAIRS {
        ground.change(Change::Remove(key(number)));
        ground.commit().unwrap();
        ground.flush();
        // A merge may find no room; what removes much needs little.
        while ground.work().unwrap_or(false) {}
    }
    ground.rest();
    while ground.work().unwrap() {}
    assert_eq!(ground.range(&Key::FIRST, &Key::LAST, usize::MAX).unwrap(), []);
    assert!(used(&disk.disk) < before / 2, "{} of {before}", used(&disk.disk));

    // What was given up is made again when there is much room.
    ground.tree.make_ballast();
    assert!(!has(&disk, "ballast"));
    disk.watcher.set(used(&disk.disk) + 8 * 50_000);
    ground.tree.make_ballast();
    assert!(has(&disk, "ballast") && !has(&disk, "ballast.new"));
    ground.close().unwrap();
    assert!(open(&disk).is_ok() && has(&disk, "ballast"));
}

#[test]
fn a_checkpoint_that_has_no_room_takes_that_of_the_ballast() {
    let disk = full(true);
    disk.watcher.set(u64::MAX);
    let mut ground = open(&disk).unwrap();
    disk.watcher.set(used(&disk.disk));
    ground.change(Change::Remove(key(1)));
    ground.commit().unwrap();
    ground.sync().unwrap();
    ground.since_checkpoint = u64::MAX;
    ground.commit().unwrap();
    while ground.work().unwrap() {}
    assert!(!has(&disk, "ballast") && ground.trouble().is_none());
    assert_eq!(ground.tree.lock().through, ground.log.last());
}
