//! A scripted run that ends behind each operation of the disk in turn.

use super::{Records, open, record, reopen};
use crate::sim::{Action, Script, SimDisk, stop_at_each_operation};
use crate::{Log, Number};

/// Two lives of a journal: segments are made, used again and taken back, records are longer than
/// a segment, and the first life may end in order.
struct Lives {
    is_closed: bool,
    written: Records,
    durable: Number,
    cut: Number,
}

impl Script for Lives {
    type Place = Number;

    fn run(&mut self, disk: &SimDisk) -> Option<()> {
        let mut random = fastrand::Rng::with_seed(7);
        for life in 0..2 {
            let mut log = open(disk, Number(u64::MAX)).ok()?;
            self.durable = self.durable.max(log.log.last());
            let epoch = log.log.epoch();
            for step in 0..24 {
                let record = if step == 9 { vec![9; 30_000] } else { record(&mut random) };
                let number = log.log.append(epoch, &record).ok()?;
                self.written.insert(number, record);
                if step % 3 == 0 {
                    log.log.flush();
                    while log.log.work() {}
                    self.durable = log.log.durable().ok()?;
                }
                if step % 8 == 7 {
                    self.cut = Number(self.durable.0.saturating_sub(2));
                    log.log.cut(self.cut);
                }
            }
            log.log.rest();
            while log.log.work() {}
            if life == 0 && self.is_closed {
                log.log.close().ok()?;
                self.durable = log.log.last();
            }
        }
        Some(())
    }

    fn survives(&self) -> (Number, Number) {
        (self.written.keys().next_back().copied().unwrap_or_default(), self.durable)
    }

    /// All from the last cut up to `least` is there.
    fn check(&self, disk: &SimDisk, least: Number, when: &str) -> Number {
        let read = open(disk, Number(u64::MAX)).unwrap_or_else(|error| panic!("{when}: {error}"));
        let last = read.log.last();
        assert!(last >= least, "{when}: {last} < {least}");
        for number in self.cut.0 + 1..=last.0 {
            let number = Number(number);
            assert_eq!(read.records.get(&number), self.written.get(&number), "{when}: {number}");
        }
        last
    }
}

#[test]
fn a_journal_opens_with_what_it_promised_whichever_operation_was_the_last() {
    for is_closed in [true, false] {
        let operations = stop_at_each_operation(|| Lives {
            is_closed,
            written: Records::default(),
            durable: Number(0),
            cut: Number(0),
        });
        assert!(operations > 100, "{operations}");
    }
}

#[test]
fn what_a_failed_sync_left_in_memory_is_written_anew_before_it_is_called_durable() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    log.append(b"durable");
    log.sync();
    log.append(b"forgotten by the disk");
    disk.refuse(Action::Sync, std::io::ErrorKind::Other, 1);
    log.log.flush();
    while log.log.work() {}
    log.log.durable().unwrap_err();
    let disk = disk.after_kill();
    let log = reopen(&disk);
    assert_eq!((log.records.len(), log.log.durable().unwrap()), (2, Number(2)));
    for seed in 0..20 {
        let lost = disk.after_power_loss(&mut fastrand::Rng::with_seed(seed));
        assert_eq!(reopen(&lost).records, log.records);
    }
}
