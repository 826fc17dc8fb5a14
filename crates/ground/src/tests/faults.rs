//! Errors of the system.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use journal::sim::{Action, SimDisk};
use journal::{AppendError, Disk};

use super::{Model, SMALL, all, open, set};
use crate::{Change, Ground, GroundError, Key};

fn key(number: u16) -> Key {
    Key::new(&number.to_be_bytes()).unwrap()
}

fn put(ground: &mut Ground<SimDisk>, model: &mut Model, number: u16, bytes: usize) {
    let value = Bytes::from(vec![number.to_be_bytes()[1]; bytes]);
    set(ground, model, key(number), Some(value));
}

/// As [`put`], of bytes that no other record has: a spare may hold an older one of the same length.
fn put_random(
    ground: &mut Ground<SimDisk>,
    model: &mut Model,
    (number, bytes): (u16, usize),
    random: &mut fastrand::Rng,
) {
    let value = Bytes::from_iter(std::iter::repeat_with(|| random.u8(..)).take(bytes));
    model.insert(key(number), value.clone());
    ground.change(Change::Put(key(number), value));
}

/// A commit, a sync, and all that follows.
fn settle(ground: &mut Ground<SimDisk>) -> Result<(), GroundError> {
    ground.commit()?;
    ground.sync()?;
    while ground.work()? {}
    Ok(())
}

fn files(disk: &SimDisk) -> usize {
    disk.names().unwrap().iter().filter(|name| name.ends_with(".sorted")).count()
}

#[test]
fn changes_that_found_no_room_wait_and_are_written_once() {
    let (disk, mut model) = (SimDisk::default(), Model::new());
    let mut ground = open(&disk).unwrap();
    while ground.work().unwrap() {}
    ground.pending.set_part_bytes(4_000);
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..40_u16 {
        // Several records a commit, and some of them are refused.
        disk.refuse_after(u64::from(round) % 4, Action::Write, ErrorKind::StorageFull, 1);
        for number in 0..6 {
            let pair = (number * 7 + round % 3, 2_000);
            put_random(&mut ground, &mut model, pair, &mut random);
        }
        ground.change(Change::Insert(key(1_000 + round), Bytes::from_static(b"new")));
        model.insert(key(1_000 + round), Bytes::from_static(b"new"));
        let first = ground.commit();
        assert!(matches!(first, Ok(_) | Err(AppendError::NoRoom(_))), "{first:?}");
        assert_eq!(all(&ground), model);
        if first.is_err() {
            // A crash before the end of the group leaves nothing of it.
            let found = all(&open(&disk.after_kill()).unwrap());
            assert!(!found.contains_key(&key(1_000 + round)), "{round} {first:?}");
        }
        disk.refuse_nothing();
        ground.commit().unwrap();
        assert_eq!(all(&open(&disk.after_kill()).unwrap()), model, "{round}");
        ground.flush();
        while ground.work().unwrap() {}
    }
}

#[test]
fn a_group_without_its_end_stays_without_effect_when_others_follow() {
    let disk = SimDisk::default();
    let mut ground = open(&disk).unwrap();
    while ground.work().unwrap() {}
    ground.pending.set_part_bytes(100);
    for number in 0..3 {
        put(&mut ground, &mut Model::new(), number, 500);
    }
    disk.refuse_after(2, Action::Write, ErrorKind::StorageFull, 1);
    ground.commit().unwrap_err();
    let disk = disk.after_kill();
    let mut model = Model::new();
    for number in 10..13 {
        let mut ground = open(&disk).unwrap();
        assert_eq!(all(&ground), model);
        put(&mut ground, &mut model, number, 5);
        ground.commit().unwrap();
    }
    assert_eq!(all(&open(&disk).unwrap()), model);
}

#[test]
fn a_want_of_room_for_long_does_not_make_a_record_that_no_journal_takes() {
    let disk = SimDisk::default();
    let mut ground = open(&disk).unwrap();
    while ground.work().unwrap() {}
    let before = ground.log.last();
    let mut model = Model::new();
    // The same keys are put again and again, and no commit succeeds.
    for _ in 0..200 {
        for number in 0..10 {
            put(&mut ground, &mut model, number, 300);
        }
        disk.refuse(Action::Write, ErrorKind::StorageFull, 1);
        assert!(matches!(ground.commit(), Err(AppendError::NoRoom(_))));
    }
    let written = disk.counts().written;
    assert_eq!(ground.commit().unwrap(), before.next());
    assert!(disk.counts().written - written < 2 * 10 * 300, "only the last values are written");
    assert_eq!(all(&open(&disk.after_kill()).unwrap()), model);
}

#[test]
fn a_checkpoint_begins_early_where_the_journal_lacks_room() {
    let disk = SimDisk::default();
    let mut ground = open(&disk).unwrap();
    while ground.work().unwrap() {}
    // The next segment is there, and the one after it can't be made.
    disk.refuse(Action::Create, ErrorKind::StorageFull, 1);
    let mut model = Model::new();
    for number in 0..20 {
        put(&mut ground, &mut model, number, 1_000);
        ground.commit().unwrap();
        while ground.log.work() {}
    }
    assert!(ground.log.lacks_room());
    assert!(ground.tree.lock().frozen.is_some(), "long before its usual bounds");
    settle(&mut ground).unwrap();
    assert!(!ground.log.lacks_room());
    assert_eq!(all(&open(&disk.after_kill()).unwrap()), model);
}

#[test]
fn a_file_that_can_not_be_read_is_an_error_and_nothing_is_set_aside() {
    let (disk, mut model) = (SimDisk::default(), Model::new());
    let mut ground = open(&disk).unwrap();
    for number in 0..100 {
        put(&mut ground, &mut model, number, 300);
    }
    settle(&mut ground).unwrap();
    ground.close().unwrap();
    let ground = open(&disk).unwrap();
    disk.refuse(Action::Read, ErrorKind::Other, 2);
    assert!(matches!(ground.get(&key(7)), Err(GroundError::Io { .. })));
    assert!(matches!(ground.range(&key(7), &Key::LAST, 5), Err(GroundError::Io { .. })));
    assert_eq!((all(&ground), ground.bad_blocks()), (model, 0));
}

#[test]
fn a_merge_that_can_not_read_a_file_leaves_it_and_the_store_goes_on() {
    let (disk, mut model) = (SimDisk::default(), Model::new());
    let mut ground = open(&disk).unwrap();
    for round in 0..2 {
        for number in 0..100 {
            put(&mut ground, &mut model, number * 2 + round, 300);
        }
        ground.commit().unwrap();
        ground.sync().unwrap();
        assert!(ground.tree.save().unwrap());
    }
    disk.refuse(Action::Read, ErrorKind::Other, 1);
    assert!(matches!(ground.tree.compact(), Err(GroundError::Io { .. })));
    assert!(ground.trouble().is_some());
    settle(&mut ground).unwrap();
    assert!(ground.trouble().is_none());
    assert_eq!((all(&ground), ground.bad_blocks()), (model, 0));
    assert_eq!(ground.tree.lock().runs.len(), 2, "what can't be read is not merged");
}

#[test]
fn whatever_is_refused_while_files_are_written_nothing_is_lost() {
    let actions = [
        Action::Create,
        Action::Open,
        Action::Read,
        Action::Write,
        Action::Sync,
        Action::Rename,
        Action::SyncNames,
    ];
    for action in actions {
        for after in 0..30 {
            let (disk, mut model) = (SimDisk::default(), Model::new());
            let mut ground = open(&disk).unwrap();
            let mut random = fastrand::Rng::with_seed(after);
            disk.refuse_after(after, action, ErrorKind::StorageFull, 3);
            for _ in 0..40 {
                for _ in 0..5 {
                    put(&mut ground, &mut model, random.u16(..60), 500);
                }
                let committed = ground.commit();
                ground.flush();
                while ground.work().unwrap_or(true) {}
                if let Err(AppendError::Failed(_)) = committed {
                    break;
                }
                if action != Action::Read {
                    assert_eq!(all(&ground), model, "{action:?} {after}");
                }
            }
            if ground.durable().is_err() {
                // The journal has failed, and says so.
                assert!(matches!(action, Action::Sync), "{action:?} {after}");
                continue;
            }
            disk.refuse_nothing();
            // The journal says of its maker's last try that there was no room.
            drop(ground.commit());
            settle(&mut ground).unwrap();
            assert!(ground.trouble().is_none(), "{action:?} {after}");
            let lost = disk.after_power_loss(&mut random);
            assert_eq!(all(&open(&lost).unwrap()), model, "{action:?} {after}");
            ground.close().unwrap();
            assert_eq!(all(&open(&disk).unwrap()), model, "{action:?} {after}");
        }
    }
}

/// A store of which more is in memory, durably, than should be.
fn with_a_checkpoint_due(disk: &SimDisk, model: &mut Model) -> Ground<SimDisk> {
    let mut ground = open(disk).unwrap();
    while ground.work().unwrap() {}
    for number in 0..100 {
        put(&mut ground, model, number, 400);
    }
    ground.commit().unwrap();
    ground.sync().unwrap();
    ground
}

#[test]
fn after_a_list_that_can_not_be_written_only_the_list_is_written_again() {
    let (disk, mut model) = (SimDisk::default(), Model::new());
    let ground = with_a_checkpoint_due(&disk, &mut model);
    let through = ground.tree.lock().through;
    disk.refuse_named("list", Action::Rename, ErrorKind::Other, 4);
    ground.tree.save().unwrap_err();
    let (count, written) = (files(&disk), disk.counts().written);
    assert!(count > 0 && ground.trouble().is_some());
    for _ in 0..3 {
        ground.tree.save().unwrap_err();
        assert_eq!((files(&disk), ground.tree.lock().through), (count, through));
        assert_eq!(all(&ground), model);
        assert_eq!(all(&open(&disk.after_kill()).unwrap()), model, "the journal has it");
    }
    assert!(disk.counts().written - written < 10_000, "no file is written again");
    assert!(ground.tree.save().unwrap());
    assert_eq!((files(&disk), ground.trouble()), (count, None));
    assert!(ground.tree.lock().through > through);
}

#[test]
fn who_waits_is_woken_when_trouble_begins_and_when_it_ends() {
    let disk = SimDisk::default();
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let wake = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let opened = Ground::open_without_threads(Arc::new(disk.clone()), SMALL, wake);
    let mut ground = opened.unwrap().0;
    for number in 0..100 {
        put(&mut ground, &mut Model::new(), number, 400);
    }
    ground.commit().unwrap();
    ground.sync().unwrap();
    disk.refuse_named("list", Action::Rename, ErrorKind::Other, 2);
    let before = woken.load(Ordering::SeqCst);
    ground.tree.save().unwrap_err();
    assert_eq!(woken.load(Ordering::SeqCst), before + 1);
    ground.tree.save().unwrap_err();
    assert_eq!(woken.load(Ordering::SeqCst), before + 1, "it is the same trouble");
    assert!(ground.tree.save().unwrap());
    assert!(woken.load(Ordering::SeqCst) > before + 1);
}

#[test]
fn beyond_its_budget_a_store_in_trouble_commits_nothing_until_the_trouble_ends() {
    let (disk, mut model) = (SimDisk::default(), Model::new());
    let mut ground = with_a_checkpoint_due(&disk, &mut model);
    disk.refuse_named("list", Action::Rename, ErrorKind::Other, u64::MAX);
    ground.tree.save().unwrap_err();
    let mut refused = 0;
    for number in 100..1000 {
        put(&mut ground, &mut model, number, 400);
        match ground.commit() {
            Ok(_) => assert_eq!(refused, 0),
            Err(AppendError::NoRoom(error)) => {
                assert!(error.to_string().contains("list can't be used"), "{error}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        ground.flush();
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3);
    assert!(ground.memory.bytes() < 5 * SMALL.memory_bytes, "{}", ground.memory.bytes());
    assert_eq!(all(&ground), model);
    disk.refuse_nothing();
    assert!(ground.tree.save().unwrap());
    ground.commit().unwrap();
    assert_eq!(all(&open(&disk.after_kill()).unwrap()), model);
}
