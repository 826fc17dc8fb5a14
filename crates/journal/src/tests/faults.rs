//! Errors of the system.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{SMALL, reopen};
use crate::manifest::Manifest;
use crate::sim::{Action, SimDisk};
use crate::{AppendError, Disk, FileLog, Folder, Log, Number};

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
fn a_record_that_lacked_room_for_its_last_zeros_is_not_read_in_place_of_the_next() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    while log.log.work() {}
    log.append(&[1; 7000]);
    let body = [2; 4999];
    disk.cut_write_short(crate::record::size(body.len()) - 1, ErrorKind::StorageFull);
    let epoch = log.log.epoch();
    assert!(matches!(log.log.append(epoch, &body), Err(AppendError::NoRoom(_))));
    let number = log.append(&[3; 9000]);
    log.log.flush();
    assert!(log.log.shared.sync_once());
    for after in [disk.after_kill(), disk.after_power_loss(&mut fastrand::Rng::with_seed(1))] {
        let log = reopen(&after);
        assert_eq!((log.log.last(), log.tail), (number, None));
        assert_eq!(log.records[&number], [3; 9000]);
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_has_room_for_a_segment_in_what_is_left_over() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    for _ in 0..60 {
        let number = log.append(&[7; 1000]);
        log.sync();
        log.log.cut(number);
        while log.log.work() {}
    }
    log.log.close().unwrap();
    let spares = |disk: &SimDisk| disk.names().unwrap().len();
    assert_eq!(spares(&disk), 2, "the manifest and a spare: {:?}", disk.names());
    // The manifest is made, and then no other file.
    disk.refuse_after(1, Action::Create, ErrorKind::StorageFull, 1);
    let refused = super::open(&disk, Number(u64::MAX)).err();
    assert!(refused.is_some_and(|error| error.to_string().contains("no storage space")));
    // A spare takes no room, and the second manifest finds some.
    disk.refuse_nothing();
    disk.refuse_after(2, Action::Create, ErrorKind::StorageFull, 1);
    let mut log = reopen(&disk);
    log.append(b"goes on");
}

#[test]
fn who_waits_is_woken_when_making_a_segment_or_a_write_fails() {
    for action in [Action::Sync, Action::Write] {
        let disk = SimDisk::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        let wake = Arc::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let take = &mut |_: Number, _: &[u8]| Ok(());
        let opened =
            FileLog::open_without_threads(disk.clone(), SMALL, Number(1), take, wake).unwrap();
        let mut log = opened.log;
        disk.refuse(action, ErrorKind::Other, 1);
        if action == Action::Write {
            let epoch = log.epoch();
            log.append(epoch, b"record").unwrap_err();
        } else {
            while log.work() {}
        }
        log.durable().unwrap_err();
        assert_eq!(woken.load(Ordering::SeqCst), 1, "{action:?}");
    }
}

#[test]
fn a_log_that_rests_gives_its_spares_back_and_a_closed_one_keeps_one() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    let segments =
        || disk.names().unwrap().into_iter().filter(|name| name.ends_with(".segment")).count();
    for _ in 0..100 {
        log.append(&[7; 1000]);
        log.log.flush();
        while log.log.work() {}
    }
    log.log.cut(log.log.last());
    while log.log.work() {}
    assert_eq!(segments(), 4, "the last, the next, and two spares");
    log.log.rest();
    while log.log.work() {}
    assert_eq!(segments(), 2);
    log.append(b"more");
    log.sync();
    log.log.cut(log.log.last());
    log.log.close().unwrap();
    assert_eq!(segments(), 1);
    let log = reopen(&disk);
    assert_eq!((log.records.len(), log.log.last()), (0, Number(101)), "nothing is left to read");
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
