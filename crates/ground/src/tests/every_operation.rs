//! A scripted run that ends behind each operation of the disk in turn.

use std::sync::Arc;

use bytes::Bytes;
use journal::sim::SimDisk;

use super::{Model, SMALL, all, open};
use crate::{Change, Ground, Key};

/// What a run was told before the machine stopped.
#[derive(Default)]
struct Told {
    /// The store after each commit; the last one may have been refused.
    commits: Vec<Model>,
    /// So many of them survive the process.
    committed: usize,
    /// So many of them are durable.
    durable: usize,
}

fn key(number: u8) -> Key {
    Key::new(&[number]).unwrap()
}

/// Two lives of a store: checkpoints, merges, a removal of everything, and commits of several
/// records. The first life ends in order.
fn run(disk: &SimDisk, told: &mut Told, is_closed: bool) -> Option<()> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut model = Model::new();
    told.commits.push(model.clone());
    for life in 0..2 {
        let opened = Ground::open_without_threads(Arc::new(disk.clone()), SMALL, Arc::new(|| {}));
        let mut ground = opened.ok()?.0;
        told.durable = told.commits.len();
        ground.pending.set_part_bytes(3_000);
        for step in 0..18 {
            for _ in 0..4 {
                let key = key(random.u8(..20));
                let value = Bytes::from(vec![random.u8(..); random.usize(..2_500)]);
                if random.u8(..4) == 0 {
                    model.remove(&key);
                    ground.change(Change::Remove(key));
                } else {
                    model.insert(key, value.clone());
                    ground.change(Change::Put(key, value));
                }
            }
            if step == 12 && life == 0 {
                model.clear();
                ground.change(Change::Clear);
            }
            told.commits.push(model.clone());
            ground.commit().ok()?;
            told.committed = told.commits.len();
            if step % 3 == 0 {
                ground.sync().ok()?;
                told.durable = told.commits.len();
                while ground.work().ok()? {}
            }
        }
        ground.rest();
        while ground.work().ok()? {}
        if life == 0 && is_closed {
            ground.close().ok()?;
            told.durable = told.commits.len();
        }
    }
    Some(())
}

impl Told {
    /// Opens, and checks that the store stands as it did after one of the commits from `least` on;
    /// which.
    fn check(&self, disk: &SimDisk, least: usize, when: &str) -> usize {
        let ground = open(disk).unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(ground.bad_blocks(), 0, "{when}");
        let found = all(&ground);
        let place = self.commits.iter().rposition(|model| *model == found);
        let place = place.unwrap_or_else(|| panic!("{when}: it never stood so")) + 1;
        assert!(place >= least, "{when}: {place} < {least}");
        place
    }
}

fn ends_anywhere(is_closed: bool) -> u64 {
    for stop in 0.. {
        let (disk, mut told) = (SimDisk::default(), Told::default());
        disk.stop_after(stop);
        let ran = run(&disk, &mut told, is_closed);
        assert!(ran.is_some() || disk.is_stopped(), "{stop}");
        let killed = disk.after_kill();
        let kept = told.check(&killed, told.committed, &format!("killed at {stop}"));
        for seed in 0..3 {
            let mut random = fastrand::Rng::with_seed(seed);
            let lost = disk.after_power_loss(&mut random);
            told.check(&lost, told.durable, &format!("without power at {stop}"));
            // What was read at a start is durable then.
            let later = killed.after_power_loss(&mut random);
            told.check(&later, kept, &format!("killed at {stop}, later without power"));
        }
        if !disk.is_stopped() {
            return stop;
        }
    }
    0
}

#[test]
fn a_store_opens_with_what_it_promised_whichever_operation_was_the_last() {
    for is_closed in [true, false] {
        let operations = ends_anywhere(is_closed);
        assert!(operations > 300, "{operations}");
    }
}
