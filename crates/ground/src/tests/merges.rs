//! Merges, and what does not wait for them.

use std::sync::Arc;

use bytes::Bytes;
use journal::sim::{Action, Gate, Gated, SimDisk};
use journal::{Disk, Number};

use super::{Model, SMALL};
use crate::{Change, Ground, Key, Options};

const OPTIONS: Options = Options { memory_bytes: 2_000_000, journal_bytes: 4_000_000, ..SMALL };

fn key(number: u16) -> Key {
    Key::new(&number.to_be_bytes()).unwrap()
}

/// A disk on which a write to a sorted file can be held up.
fn gated() -> Arc<Gated> {
    Arc::new(Gated { disk: SimDisk::default(), watcher: Gate::new(Action::Write, ".sorted") })
}

/// A store with two runs of 3 MB whose keys lie between each other.
fn two_runs<D: Disk>(disk: &Arc<D>) -> (Ground<D>, Model) {
    let opened = Ground::open_without_threads(Arc::clone(disk), OPTIONS, Arc::new(|| {}));
    let (mut ground, mut model) = (opened.unwrap().0, Model::new());
    for run in 0..2 {
        for number in 0..300 {
            let (key, value) = (key(number * 2 + run), Bytes::from(vec![1; 10_000]));
            model.insert(key, value.clone());
            ground.change(Change::Insert(key, value));
        }
        ground.commit().unwrap();
        ground.sync().unwrap();
        assert!(ground.tree.save().unwrap());
    }
    assert_eq!(ground.tree.lock().runs.len(), 2);
    (ground, model)
}

fn found<D: Disk>(ground: &Ground<D>) -> Model {
    ground.range(&Key::FIRST, &Key::LAST, usize::MAX).unwrap().into_iter().collect()
}

/// Freezes the changes of a new commit, durably.
fn freeze<D: Disk>(ground: &mut Ground<D>, change: Change) -> Number {
    ground.change(change);
    let number = ground.commit().unwrap();
    ground.since_checkpoint = u64::MAX;
    ground.sync().unwrap();
    assert!(ground.tree.lock().frozen.is_some());
    number
}

#[test]
fn what_is_frozen_is_written_between_two_pieces_of_a_merge() {
    let disk = Arc::new(SimDisk::default());
    let (mut ground, mut model) = two_runs(&disk);
    let value = Bytes::from_static(b"young");
    model.insert(key(7), value.clone());
    let number = freeze(&mut ground, Change::Put(key(7), value));
    assert!(ground.tree.compact().unwrap());
    let state = ground.tree.lock();
    assert!(state.frozen.is_none());
    assert_eq!((state.through, state.runs.len()), (number, 2), "the merged one and the new one");
    drop(state);
    assert_eq!(found(&ground), model);
    let ground = Ground::open_without_threads(disk, OPTIONS, Arc::new(|| {})).unwrap().0;
    assert_eq!(found(&ground), model);
}

#[test]
fn a_merge_leaves_the_room_that_commits_need() {
    let disk = Arc::new(SimDisk::default());
    let (ground, model) = two_runs(&disk);
    let names = disk.names().unwrap();
    disk.set_free_bytes(Some(100 << 20));
    assert!(ground.tree.compact().is_err());
    assert_eq!((disk.names().unwrap(), ground.tree.lock().runs.len()), (names, 2));
    assert_eq!(found(&ground), model);
    disk.set_free_bytes(Some(200 << 20));
    assert!(ground.tree.compact().unwrap());
    assert_eq!((found(&ground), ground.tree.lock().runs.len()), (model, 1));
}

#[test]
fn a_merge_of_what_was_removed_meanwhile_comes_to_nothing() {
    let disk = gated();
    let (mut ground, _) = two_runs(&disk);
    let tree = Arc::clone(&ground.tree);
    // In the midst of the merge.
    disk.watcher.close_before(3);
    let merge = std::thread::spawn(move || tree.compact().unwrap());
    disk.watcher.await_arrival();
    let number = freeze(&mut ground, Change::Clear);
    disk.watcher.open();
    assert!(merge.join().unwrap());
    assert_eq!((found(&ground), ground.tree.lock().through), (Model::new(), number));
    let names = disk.names().unwrap();
    assert!(names.iter().all(|name| !name.ends_with(".sorted")), "{names:?}");
}

#[test]
fn closing_ends_a_merge_and_does_not_begin_another() {
    let disk = gated();
    let (mut ground, model) = two_runs(&disk);
    ground.close().unwrap();
    drop(ground);
    disk.watcher.close_before(3);
    let mut ground = Ground::open(Arc::clone(&disk), OPTIONS, Arc::new(|| {})).unwrap().0;
    disk.watcher.await_arrival();
    let before = disk.disk.counts().written;
    ground.tree.end();
    disk.watcher.open();
    ground.close().unwrap();
    assert_eq!(ground.tree.lock().runs.len(), 2);
    assert!(disk.disk.counts().written - before < 3_000_000, "the merge was left");
    drop(ground);
    let ground = Ground::open_without_threads(disk, OPTIONS, Arc::new(|| {})).unwrap().0;
    assert_eq!(found(&ground), model);
}
