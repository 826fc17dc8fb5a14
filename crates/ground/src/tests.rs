//! The store beside a model, on a disk that forgets.

mod backup;
mod damaged;
mod every_operation;
mod faults;
mod filters;
mod floors;
mod full;
mod merges;
mod room;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use journal::sim::SimDisk;
use journal::{Disk, Number};

use crate::floors::Floors;
use crate::{Change, Ground, GroundError, Key, Options};

const SMALL: Options = Options {
    journal: journal::Options { segment_bytes: 16 << 10, spares: 2 },
    memory_bytes: 30_000,
    journal_bytes: 60_000,
    cache_bytes: 100_000,
    file_bytes: 20_000,
    filtered: &[1],
    ballast_bytes: 0,
};

type Model = BTreeMap<Key, Bytes>;

fn open(disk: &SimDisk) -> Result<Ground<SimDisk>, GroundError> {
    let disk = Arc::new(disk.clone());
    Ok(Ground::open_without_threads(disk, SMALL, Arc::new(|| {}))?.0)
}

fn key(random: &mut fastrand::Rng) -> Key {
    Key::new(&random.u16(..400).to_be_bytes()).unwrap()
}

/// Sets a key, or removes it, in the store and in the model.
fn set<D: Disk>(ground: &mut Ground<D>, model: &mut Model, key: Key, value: Option<Bytes>) {
    match value {
        Some(value) => {
            model.insert(key, value.clone());
            ground.change(Change::Put(key, value));
        }
        None => {
            model.remove(&key);
            ground.change(Change::Remove(key));
        }
    }
}

fn all(ground: &Ground<SimDisk>) -> Model {
    ground.range(&Key::FIRST, &Key::LAST, usize::MAX).unwrap().into_iter().collect()
}

/// A model with floors.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stand {
    pairs: Model,
    floors: Floors,
}

impl Stand {
    fn of(ground: &Ground<SimDisk>) -> Self {
        Self { pairs: all(ground), floors: ground.memory.floors().clone() }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Insert(key, value) | Change::Put(key, value) => {
                if !self.floors.hides(&key) {
                    self.pairs.insert(key, value);
                }
            }
            Change::Remove(key) => drop(self.pairs.remove(&key)),
            Change::Floor(floor) => {
                self.floors.raise(floor);
                let first = floor.as_slice()[0];
                self.pairs.retain(|key, _| key.as_slice()[0] != first || *key >= floor);
            }
            Change::Clear => *self = Self::default(),
        }
    }
}

struct Life<'a> {
    random: &'a mut fastrand::Rng,
    model: Stand,
    /// The model after each commit that may still be lost, and the number of its record.
    commits: Vec<(Number, Stand)>,
}

impl Life<'_> {
    fn change(&mut self, ground: &mut Ground<SimDisk>) {
        let key = key(self.random);
        let length = if self.random.u8(..50) == 0 { 30_000 } else { self.random.usize(..300) };
        let value = Bytes::from(vec![self.random.u8(..); length]);
        let change = match (self.random.u8(..3), self.model.pairs.contains_key(&key)) {
            (0, false) => Change::Insert(key, value),
            (1, _) => Change::Put(key, value),
            _ => Change::Remove(key),
        };
        self.apply(ground, change);
    }

    fn apply(&mut self, ground: &mut Ground<SimDisk>, change: Change) {
        self.model.apply(change.clone());
        ground.change(change);
    }

    /// A floor, mostly a low one.
    fn floor(&mut self, ground: &mut Ground<SimDisk>) {
        let low = self.random.u8(..) / if self.random.u8(..10) == 0 { 2 } else { 8 };
        let floor = Key::new(&[self.random.u8(..2), low]).unwrap();
        self.apply(ground, Change::Floor(floor));
    }

    /// One step of the store.
    fn step(&mut self, ground: &mut Ground<SimDisk>) {
        match self.random.u8(..100) {
            0..60 => self.change(ground),
            60..80 => {
                let number = ground.commit().unwrap();
                self.commits.push((number, self.model.clone()));
            }
            80..85 => ground.flush(),
            85..88 => drop(ground.work().unwrap()),
            88..92 => drop(ground.log.work()),
            92..95 => drop(ground.tree.work().unwrap()),
            95 if self.random.u8(..10) == 0 => self.apply(ground, Change::Clear),
            96 if self.random.bool() => self.floor(ground),
            _ => {
                let key = key(self.random);
                assert_eq!(ground.get(&key).unwrap().as_ref(), self.model.pairs.get(&key));
                let limit = self.random.usize(..50);
                let found = ground.range(&key, &Key::LAST, limit).unwrap();
                let expected = self.model.pairs.range(key..).take(limit);
                let expected: Vec<_> = expected.map(|(key, value)| (*key, value.clone())).collect();
                assert_eq!(found, expected);
            }
        }
    }

    fn live(&mut self, disk: &SimDisk) -> SimDisk {
        let mut ground = open(disk).unwrap();
        let found = Stand::of(&ground);
        let is_known = self.commits.iter().any(|(_, model)| *model == found);
        assert!(is_known, "{} pairs, which never stood so", found.pairs.len());
        self.model = found.clone();
        self.commits = vec![(ground.commit().unwrap(), found)];
        for _ in 0..self.random.usize(..1500) {
            self.step(&mut ground);
            let durable = ground.durable().unwrap();
            while self.commits.get(1).is_some_and(|(number, _)| *number <= durable) {
                self.commits.remove(0);
            }
        }
        assert_eq!(Stand::of(&ground), self.model);
        match self.random.u8(..4) {
            0 => {
                ground.close().unwrap();
                self.commits = vec![(Number(0), self.model.clone())];
                disk.after_power_loss(self.random)
            }
            1 => {
                // What was committed survives the process.
                self.commits.drain(..self.commits.len() - 1);
                disk.after_kill()
            }
            _ => disk.after_power_loss(self.random),
        }
    }
}

#[test]
fn the_store_is_what_a_model_says_whenever_the_power_goes() {
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let commits = vec![(Number(0), Stand::default())];
        let mut life = Life { random: &mut random, model: Stand::default(), commits };
        let mut disk = SimDisk::default();
        for _ in 0..5 {
            disk = life.live(&disk);
        }
    }
}
