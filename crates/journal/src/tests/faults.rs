//! Errors of the system.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use super::{SMALL, reopen};
use crate::manifest::Manifest;
use crate::sim::{Action, SimDisk};
use crate::{AppendError, Disk, DiskFile, FileLog, Folder, Log, Number};

#[test]
fn after_a_failed_sync_nothing_is_durable_any_more_and_nothing_is_tried_again() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    log.append(b"durable");
    log.sync();
    let epoch = log.log.epoch();
    log.append(b"lost");
    disk.refuse(Action::Sync, ErrorKind::Other, 1);
    log.log.flush();
    while log.log.work() {}
    let syncs = disk.counts().syncs;
    log.log.durable().unwrap_err();
    log.log.flush();
    assert!(!log.log.work());
    assert!(matches!(log.log.append(epoch, b"more"), Err(AppendError::Failed(_))));
    log.log.durable().unwrap_err();
    assert_eq!(disk.counts().syncs, syncs);
    log.log.close().unwrap_err();
    let log = reopen(&disk.after_power_loss(&mut fastrand::Rng::with_seed(1)));
    assert_eq!(log.records.into_values().collect::<Vec<_>>(), [b"durable"]);
}

#[test]
fn a_want_of_room_is_waited_out() {
    for action in [Action::Create, Action::Write] {
        let disk = SimDisk::default();
        let mut log = reopen(&disk);
        let epoch = log.log.epoch();
        // No more spare segments than one.
        while log.log.work() {}
        let mut refused = 0;
        disk.refuse(action, ErrorKind::StorageFull, 5);
        for number in 1..=200 {
            let number = Number(number);
            let record = vec![u8::try_from(number.0).unwrap(); 1000];
            loop {
                match log.log.append(epoch, &record) {
                    Ok(given) => break assert_eq!(given, number),
                    Err(AppendError::NoRoom(_)) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert_eq!(refused, 5, "{action:?}");
        log.sync();
        let log = reopen(&disk.after_power_loss(&mut fastrand::Rng::with_seed(1)));
        assert_eq!((log.records.len(), log.tail), (200, None));
    }
}

#[test]
fn a_record_that_found_no_room_and_goes_into_the_next_segment_is_no_tail() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    while log.log.work() {}
    log.append(&[1; 7000]);
    disk.refuse(Action::Write, ErrorKind::StorageFull, 1);
    let epoch = log.log.epoch();
    let refused = log.log.append(epoch, &[2; 5000]);
    assert!(matches!(refused, Err(AppendError::NoRoom(_))));
    // More has come together meanwhile, and the segment has no room for it.
    let number = log.append(&[2; 9000]);
    // No manifest that finishes the first segment is written.
    log.log.flush();
    assert!(log.log.shared.sync_once());
    assert_eq!(log.log.durable().unwrap(), number);
    let log = reopen(&disk.after_power_loss(&mut fastrand::Rng::with_seed(1)));
    assert_eq!((log.log.last(), log.tail), (number, None));
}

#[test]
fn a_first_opening_that_was_ended_at_any_moment_does_not_keep_the_next_one_out() {
    for refused in 0..6 {
        for action in [Action::Create, Action::Write, Action::Sync, Action::SyncNames] {
            let disk = SimDisk::default();
            disk.refuse_after(refused, action, ErrorKind::StorageFull, 1);
            drop(super::open(&disk, Number(1)));
            for after in
                [disk.after_kill(), disk.after_power_loss(&mut fastrand::Rng::with_seed(refused))]
            {
                let mut log = reopen(&after);
                log.append(b"first");
            }
        }
    }
}

#[test]
fn a_manifest_that_can_not_be_written_costs_no_record_whenever_the_process_ends() {
    for refused in 0..12 {
        for action in [Action::Create, Action::Write, Action::SyncNames] {
            let disk = SimDisk::default();
            let mut log = reopen(&disk);
            let epoch = log.log.epoch();
            disk.refuse_after(refused, action, ErrorKind::StorageFull, 2);
            let mut records = 0;
            for _ in 0..60 {
                if log.log.append(epoch, &[7; 1500]).is_ok() {
                    records += 1;
                }
                log.log.flush();
                while log.log.work() {}
                log.log.cut(Number(0));
                // After each step another process finds everything.
                let found = reopen(&disk.after_kill());
                assert_eq!(found.records.len(), records);
            }
            assert!(records > 50, "{action:?} {refused}");
        }
    }
}

#[test]
fn a_log_that_is_told_twice_that_it_rests_notes_what_is_durable() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    while log.log.work() {}
    let number = log.append(b"last");
    log.sync();
    log.log.rest();
    log.log.rest();
    while log.log.work() {}
    let manifest: Manifest = Manifest::read(&disk).unwrap();
    assert_eq!(manifest.durable, number);
}

#[test]
fn the_threads_sync_make_and_take_back() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let wake = Arc::new(move || sender.send(()).unwrap_or_default());
    let disk = Folder::lock(folder.path()).unwrap();
    let mut log = FileLog::open(disk, SMALL, Number(1), &mut |_, _| Ok(()), wake).unwrap().log;
    assert_eq!(Folder::lock(folder.path()).err().unwrap().kind(), ErrorKind::WouldBlock);
    let epoch = log.epoch();
    for _ in 0..500 {
        let number = log.append(epoch, &[7; 1000]).unwrap();
        log.flush();
        while log.durable().unwrap() < number {
            receiver.recv().unwrap();
        }
        log.cut(Number(number.0.saturating_sub(20)));
    }
    log.close().unwrap();
    drop(log);
    let disk = Folder::lock(folder.path()).unwrap();
    let mut found = Vec::new();
    let mut take = |number: Number, record: &[u8]| {
        assert_eq!(record, [7; 1000]);
        found.push(number.0);
        Ok(())
    };
    let opened = FileLog::open(disk, SMALL, Number(480), &mut take, Arc::new(|| {})).unwrap();
    assert_eq!((opened.log.last(), opened.tail), (Number(500), None));
    assert!(found.first().unwrap() <= &481 && found.len() < 100, "{found:?}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_was_removed_ends_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Folder::lock(folder.path()).unwrap();
    let take = &mut |_: Number, _: &[u8]| Ok(());
    let mut log =
        FileLog::open_without_threads(disk, SMALL, Number(1), take, Arc::new(|| {})).unwrap().log;
    let epoch = log.epoch();
    while log.work() {}
    log.append(epoch, b"one").unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    log.flush();
    while log.work() {}
    assert_eq!(
        log.durable().unwrap_err().to_string(),
        "the log can't be written any more: a sync failed: the file was removed"
    );
}

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

#[test]
fn no_sync_calls_durable_what_another_one_still_writes() {
    let (disk, gate) = (SimDisk::default(), Arc::new(Gate::default()));
    let slow = Slow { disk: disk.clone(), gate: Arc::clone(&gate) };
    let take = &mut |_: Number, _: &[u8]| Ok(());
    let mut log =
        FileLog::open_without_threads(slow, SMALL, Number(1), take, Arc::new(|| {})).unwrap().log;
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
    for _ in 0..100 {
        std::thread::yield_now();
        assert!(log.durable().unwrap() < first, "the first record is not on the disk");
    }
    gate.go_on.0.wait();
    assert!(syncer.join().unwrap());
    other.join().unwrap();
    while log.work() {}
    assert_eq!(log.durable().unwrap(), second);
}
