//! A disk with nothing free: a store opens on it all the same, and gives room back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use journal::sim::{SimDisk, SimFile};
use journal::{Disk, DiskFile};

use super::SMALL;
use crate::{Change, Ground, GroundError, Key, Options};

const OPTIONS: Options = Options { ballast_bytes: 50_000, ..SMALL };
const PAIRS: u16 = 400;

/// A disk on which so many bytes have room.
#[derive(Clone)]
struct Small {
    disk: SimDisk,
    room: Arc<AtomicU64>,
}

struct SmallFile(SimFile, Small);

impl Small {
    fn used(&self) -> u64 {
        let names = self.disk.names().unwrap();
        names.iter().map(|name| self.disk.bytes(name).unwrap().len() as u64).sum()
    }

    fn set_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::SeqCst);
    }

    fn has(&self, name: &str) -> bool {
        self.disk.bytes(name).is_some()
    }
}

impl Disk for Small {
    type File = SmallFile;

    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn open(&self, name: &str) -> io::Result<SmallFile> {
        Ok(SmallFile(self.disk.open(name)?, self.clone()))
    }

    fn create(&self, name: &str) -> io::Result<SmallFile> {
        Ok(SmallFile(self.disk.create(name)?, self.clone()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }

    fn free_bytes(&self) -> Option<u64> {
        Some(self.room.load(Ordering::SeqCst).saturating_sub(self.used()))
    }
}

impl DiskFile for SmallFile {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_at(at, into)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let growth = (at + bytes.len() as u64).saturating_sub(self.0.length()?);
        if growth > 0 && self.1.free_bytes().is_some_and(|free| free < growth) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_at(at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
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
    let disk = Small { disk: SimDisk::default(), room: Arc::new(AtomicU64::new(u64::MAX)) };
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
    disk.set_room(disk.used());
    disk
}

#[test]
fn on_a_full_disk_a_store_opens_is_emptied_and_gives_its_room_back() {
    let error = open(&full(false)).err().unwrap().to_string();
    assert!(error.ends_with("no storage space"), "{error}");

    let disk = full(true);
    let used = disk.used();
    let mut ground = open(&disk).unwrap();
    assert!(!disk.has("ballast"));
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
    assert!(disk.used() < used / 2, "{} of {used}", disk.used());

    // What was given up is made again when there is much room.
    ground.tree.make_ballast();
    assert!(!disk.has("ballast"));
    disk.set_room(disk.used() + 8 * 50_000);
    ground.tree.make_ballast();
    assert!(disk.has("ballast") && !disk.has("ballast.new"));
    ground.close().unwrap();
    assert!(open(&disk).is_ok() && disk.has("ballast"));
}

#[test]
fn a_checkpoint_that_has_no_room_takes_that_of_the_ballast() {
    let disk = full(true);
    disk.set_room(u64::MAX);
    let mut ground = open(&disk).unwrap();
    disk.set_room(disk.used());
    ground.change(Change::Remove(key(1)));
    ground.commit().unwrap();
    ground.sync().unwrap();
    ground.since_checkpoint = u64::MAX;
    ground.commit().unwrap();
    while ground.work().unwrap() {}
    assert!(!disk.has("ballast") && ground.trouble().is_none());
    assert_eq!(ground.tree.lock().through, ground.log.last());
}
