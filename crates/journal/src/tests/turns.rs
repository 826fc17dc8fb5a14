//! Two threads that do the same.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::SMALL;
use crate::sim::{Action, Gate, Gated, SimDisk};
use crate::{Disk, FileLog, Log, Number};

/// A log on a disk on which a sync can be held up.
fn slow() -> (FileLog<Gated>, SimDisk, Arc<Gate>) {
    let (disk, gate) = (SimDisk::default(), Gate::new(Action::Sync, ""));
    let slow = Gated { disk: disk.clone(), watcher: Arc::clone(&gate) };
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
    gate.close_before(1);
    let syncer = std::thread::spawn(move || shared.sync_once());
    gate.await_arrival();
    // The second record goes into the next segment, and is synced by somebody else.
    let second = log.append(epoch, &[2; 10_000]).unwrap();
    log.flush();
    let shared = Arc::clone(&log.shared);
    let other = std::thread::spawn(move || shared.sync_once());
    comes_to_rest(&other, || log.shared.syncing.waiting());
    let durable = log.durable().unwrap();
    gate.open();
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
    gate.close_before(1);
    let shared = Arc::clone(&log.shared);
    let maker = std::thread::spawn(move || shared.make_once());
    gate.await_arrival();
    let shared = Arc::clone(&log.shared);
    let other = std::thread::spawn(move || shared.make_once());
    comes_to_rest(&other, || log.shared.making.waiting());
    gate.open();
    assert!(maker.join().unwrap());
    assert!(!other.join().unwrap(), "there is nothing left to do");
    assert_eq!(disk.names().unwrap().len(), before + 1);
    assert_eq!(log.shared.lock().manifest.segments.len(), 2);
}
