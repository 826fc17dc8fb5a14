//! Two threads that do the same.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;

use super::SMALL;
use crate::sim::SimDisk;
use crate::{Disk, DiskFile, FileLog, Log, Number};

/// A disk on which the first sync of a segment takes until the test says.
struct Slow {
    disk: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    is_armed: AtomicBool,
    arrived: Barrier2,
    go_on: Barrier2,
}

struct Barrier2(Barrier);

impl Default for Barrier2 {
    fn default() -> Self {
        Self(Barrier::new(2))
    }
}

struct SlowFile {
    file: crate::sim::SimFile,
    gate: Arc<Gate>,
}

impl Disk for Slow {
    type File = SlowFile;

    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn open(&self, name: &str) -> io::Result<SlowFile> {
        Ok(SlowFile { file: self.disk.open(name)?, gate: Arc::clone(&self.gate) })
    }

    fn create(&self, name: &str) -> io::Result<SlowFile> {
        Ok(SlowFile { file: self.disk.create(name)?, gate: Arc::clone(&self.gate) })
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
}

impl DiskFile for SlowFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, into)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        if self.gate.is_armed.swap(false, Ordering::SeqCst) {
            self.gate.arrived.0.wait();
            self.gate.go_on.0.wait();
        }
        self.file.sync()
    }
}

fn slow() -> (FileLog<Slow>, SimDisk, Arc<Gate>) {
    let (disk, gate) = (SimDisk::default(), Arc::new(Gate::default()));
    let slow = Slow { disk: disk.clone(), gate: Arc::clone(&gate) };
    let take = &mut |_: Number, _: &[u8]| Ok(());
    let opened =
        FileLog::open_without_threads(slow, SMALL, Number(1), take, Arc::new(|| {})).unwrap();
    (opened.log, disk, gate)
}

/// Waits until a thread has ended, or waits for its turn: what it may do before is done then.
fn comes_to_rest<T>(thread: &JoinHandle<T>, waiting: impl Fn() -> usize) {
    while waiting() == 0 && !thread.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn no_sync_calls_durable_what_another_one_still_writes() {
    let (mut log, _, gate) = slow();
    while log.work() {}
    let epoch = log.epoch();
    let first = log.append(epoch, &[1; 10_000]).unwrap();
    log.flush();
    let shared = Arc::clone(&log.shared);
    gate.is_armed.store(true, Ordering::SeqCst);
    let syncer = std::thread::spawn(move || shared.sync_once());
    gate.arrived.0.wait();
    // The second record goes into the next segment, and is synced by somebody else.
    let second = log.append(epoch, &[2; 10_000]).unwrap();
    log.flush();
    let shared = Arc::clone(&log.shared);
    let other = std::thread::spawn(move || shared.sync_once());
    comes_to_rest(&other, || log.shared.syncing.waiting());
    let durable = log.durable().unwrap();
    gate.go_on.0.wait();
    assert!(syncer.join().unwrap());
    other.join().unwrap();
    assert!(durable < first, "the first record was not on the disk");
    while log.work() {}
    assert_eq!(log.durable().unwrap(), second);
}

#[test]
fn what_is_asked_of_the_maker_is_made_once() {
    let (log, disk, gate) = slow();
    let before = disk.names().unwrap().len();
    gate.is_armed.store(true, Ordering::SeqCst);
    let shared = Arc::clone(&log.shared);
    let maker = std::thread::spawn(move || shared.make_once());
    gate.arrived.0.wait();
    let shared = Arc::clone(&log.shared);
    let other = std::thread::spawn(move || shared.make_once());
    comes_to_rest(&other, || log.shared.making.waiting());
    gate.go_on.0.wait();
    assert!(maker.join().unwrap());
    assert!(!other.join().unwrap(), "there is nothing left to do");
    assert_eq!(disk.names().unwrap().len(), before + 1);
    assert_eq!(log.shared.lock().manifest.segments.len(), 2);
}
