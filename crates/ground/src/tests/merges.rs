//! Merges, and what does not wait for them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use journal::sim::{SimDisk, SimFile};
use journal::{Disk, DiskFile, Number};

use super::{Model, SMALL};
use crate::{Change, Ground, Key, Options};

const OPTIONS: Options = Options { memory_bytes: 2_000_000, journal_bytes: 4_000_000, ..SMALL };

fn key(number: u16) -> Key {
    Key::new(&number.to_be_bytes()).unwrap()
}

/// A disk on which a write to the list or a sorted file, counted down from what the test says,
/// takes until the test lets it go on.
struct Gated {
    disk: SimDisk,
    gate: Arc<Gate>,
}

struct Gate {
    /// At one, the next write waits; at zero, none does.
    left: AtomicUsize,
    arrived: Barrier,
    go_on: Barrier,
}

struct GatedFile {
    file: SimFile,
    gate: Option<Arc<Gate>>,
}

impl Gated {
    fn new() -> Self {
        let (arrived, go_on) = (Barrier::new(2), Barrier::new(2));
        let gate = Arc::new(Gate { left: AtomicUsize::new(0), arrived, go_on });
        Self { disk: SimDisk::default(), gate }
    }

    fn gate_of(&self, name: &str) -> Option<Arc<Gate>> {
        name.ends_with(".sorted").then(|| Arc::clone(&self.gate))
    }
}

impl Disk for Gated {
    type File = GatedFile;

    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn open(&self, name: &str) -> io::Result<GatedFile> {
        Ok(GatedFile { file: self.disk.open(name)?, gate: self.gate_of(name) })
    }

    fn create(&self, name: &str) -> io::Result<GatedFile> {
        Ok(GatedFile { file: self.disk.create(name)?, gate: self.gate_of(name) })
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

impl DiskFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(at, into)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(gate) = &self.gate
            && gate.left.load(Ordering::SeqCst) > 0
            && gate.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            gate.arrived.wait();
            gate.go_on.wait();
        }
        self.file.write_at(at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
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
    let disk = Arc::new(Gated::new());
    let (mut ground, _) = two_runs(&disk);
    let tree = Arc::clone(&ground.tree);
    // In the midst of the merge.
    disk.gate.left.store(3, Ordering::SeqCst);
    let merge = std::thread::spawn(move || tree.compact().unwrap());
    disk.gate.arrived.wait();
    let number = freeze(&mut ground, Change::Clear);
    disk.gate.go_on.wait();
    assert!(merge.join().unwrap());
    assert_eq!((found(&ground), ground.tree.lock().through), (Model::new(), number));
    let names = disk.names().unwrap();
    assert!(names.iter().all(|name| !name.ends_with(".sorted")), "{names:?}");
}

#[test]
fn closing_ends_a_merge_and_does_not_begin_another() {
    let disk = Arc::new(Gated::new());
    let (mut ground, model) = two_runs(&disk);
    ground.close().unwrap();
    drop(ground);
    disk.gate.left.store(3, Ordering::SeqCst);
    let mut ground = Ground::open(Arc::clone(&disk), OPTIONS, Arc::new(|| {})).unwrap().0;
    disk.gate.arrived.wait();
    let before = disk.disk.counts().written;
    ground.tree.end();
    disk.gate.go_on.wait();
    ground.close().unwrap();
    assert_eq!(ground.tree.lock().runs.len(), 2);
    assert!(disk.disk.counts().written - before < 3_000_000, "the merge was left");
    drop(ground);
    let ground = Ground::open_without_threads(disk, OPTIONS, Arc::new(|| {})).unwrap().0;
    assert_eq!(found(&ground), model);
}
