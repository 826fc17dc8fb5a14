//! A scripted run that ends behind each operation of the disk in turn.

use std::sync::Arc;

use bytes::Bytes;
use journal::sim::{Script, SimDisk, stop_at_each_operation};

use super::{SMALL, Stand, open};
use crate::{Change, Ground, Key};

/// Two lives of a store: checkpoints, merges, floors, a removal of everything, and commits of
/// several records. Half of the keys lie in files with filters. The first life may end in order.
#[derive(Default)]
struct Lives {
    is_closed: bool,
    /// The store after each commit; the last one may have been refused.
    commits: Vec<Stand>,
    /// So many of them survive the process.
    committed: usize,
    /// So many of them are durable.
    durable: usize,
}

fn key(number: u8) -> Key {
    Key::new(&[number % 2, number]).unwrap()
}

impl Script for Lives {
    type Place = usize;

    fn run(&mut self, disk: &SimDisk) -> Option<()> {
        let mut random = fastrand::Rng::with_seed(3);
        let mut model = Stand::default();
        self.commits.push(model.clone());
        for life in 0..2 {
            let opened =
                Ground::open_without_threads(Arc::new(disk.clone()), SMALL, Arc::new(|| {}));
            let mut ground = opened.ok()?.0;
            self.durable = self.commits.len();
            ground.pending.set_part_bytes(3_000);
            for step in 0..18 {
                for _ in 0..4 {
                    let key = key(random.u8(..20));
                    let value = Bytes::from(vec![random.u8(..); random.usize(..2_500)]);
                    let change = match random.u8(..4) {
                        0 => Change::Remove(key),
                        _ => Change::Put(key, value),
                    };
                    model.apply(change.clone());
                    ground.change(change);
                }
                let change = match step {
                    4 | 11 => Some(Change::Floor(key(step + 1))),
                    12 if life == 0 => Some(Change::Clear),
                    15 => Some(Change::Floor(key(10))),
                    _ => None,
                };
                if let Some(change) = change {
                    model.apply(change.clone());
                    ground.change(change);
                }
                self.commits.push(model.clone());
                ground.commit().ok()?;
                self.committed = self.commits.len();
                if step % 3 == 0 {
                    ground.sync().ok()?;
                    self.durable = self.commits.len();
                    while ground.work().ok()? {}
                }
            }
            ground.rest();
            while ground.work().ok()? {}
            if life == 0 && self.is_closed {
                ground.close().ok()?;
                self.durable = self.commits.len();
            }
        }
        Some(())
    }

    fn survives(&self) -> (usize, usize) {
        (self.committed, self.durable)
    }

    /// The store stands as it did after one of the commits from `least` on.
    fn check(&self, disk: &SimDisk, least: usize, when: &str) -> usize {
        let ground = open(disk).unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(ground.bad_blocks(), 0, "{when}");
        let found = Stand::of(&ground);
        let place = self.commits.iter().rposition(|model| *model == found);
        let place = place.unwrap_or_else(|| panic!("{when}: it never stood so")) + 1;
        assert!(place >= least, "{when}: {place} < {least}");
        place
    }
}

#[test]
fn a_store_opens_with_what_it_promised_whichever_operation_was_the_last() {
    for is_closed in [true, false] {
        let operations = stop_at_each_operation(|| Lives { is_closed, ..Lives::default() });
        assert!(operations > 300, "{operations}");
    }
}
