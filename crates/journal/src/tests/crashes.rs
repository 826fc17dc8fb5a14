//! Kills and losses of power at any point.

use super::{Records, record, reopen};
use crate::sim::SimDisk;
use crate::{Log, Number};

/// A life of the journal: some hundred random steps, and then a crash. Returns the disk after it.
struct Life<'a> {
    random: &'a mut fastrand::Rng,
    written: Records,
    durable: Number,
    cut: Number,
}

impl Life<'_> {
    fn live(&mut self, disk: &SimDisk) -> SimDisk {
        let mut log = reopen(disk);
        self.check(&log.records, log.log.last());
        // What was left out is not part of the journal any more.
        self.written.split_off(&log.log.last().next());
        self.durable = log.log.last();
        for _ in 0..self.random.usize(..150) {
            match self.random.u8(..10) {
                0..6 => {
                    let record = record(self.random);
                    let number = log.append(&record);
                    self.written.insert(number, record);
                }
                6..8 => log.log.flush(),
                8 => drop(log.log.work()),
                _ => {
                    self.cut = Number(self.random.u64(self.cut.0..=self.durable.0));
                    log.log.cut(self.cut);
                }
            }
            self.durable = log.log.durable().unwrap();
        }
        match self.random.u8(..5) {
            0 => {
                log.log.close().unwrap();
                self.durable = self.written.keys().next_back().copied().unwrap_or(self.durable);
                disk.after_power_loss(self.random)
            }
            1 => disk.after_kill(),
            _ => disk.after_power_loss(self.random),
        }
    }

    /// Everything durable is there, what is there is what was written, and nothing is missing
    /// between.
    fn check(&self, found: &Records, last: Number) {
        assert!(last >= self.durable, "{last} < {}", self.durable);
        for number in self.cut.0 + 1..=last.0 {
            let number = Number(number);
            assert_eq!(found.get(&number), self.written.get(&number), "record {number}");
        }
    }
}

#[test]
fn nothing_durable_is_lost_whenever_the_power_goes() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut life = Life {
            random: &mut random,
            written: Records::new(),
            durable: Number(0),
            cut: Number(0),
        };
        let mut disk = SimDisk::default();
        for _ in 0..6 {
            disk = life.live(&disk);
        }
    }
}

#[test]
fn a_kill_loses_nothing_that_was_appended() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    for length in 0..300 {
        log.append(&vec![1; length]);
    }
    let log = reopen(&disk.after_kill());
    assert_eq!(log.records.len(), 300);
    assert_eq!(log.tail, None);
}

#[test]
fn a_large_record_that_was_torn_leaves_all_before_it() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    for _ in 0..20 {
        log.append(b"small");
    }
    log.sync();
    log.append(&vec![9; 10_000]);
    let disk = disk.after_kill();
    let name = crate::segment::name(1);
    let mut bytes = disk.bytes(&name).unwrap();
    let page = bytes[8192..12288].iter_mut();
    page.for_each(|byte| *byte = 0);
    disk.set_bytes(&name, bytes);
    let log = reopen(&disk);
    assert_eq!(log.records.len(), 20);
    let tail = log.tail.unwrap();
    assert_eq!((tail.first, tail.records, tail.file), (Number(21), 1, name));
    assert!(tail.bytes > 10_000);
    // What was left out does not come back.
    assert_eq!(reopen(&disk).records.len(), 20);
}
