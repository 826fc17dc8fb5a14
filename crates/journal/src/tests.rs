//! The journal on a disk that forgets, under seeds.

mod copies;
mod crashes;
mod damaged;
mod every_operation;
mod faults;
mod turns;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sim::SimDisk;
use crate::{Epoch, FileLog, Log, Number, OpenError, Opened, Options, Tail};

pub(crate) const SMALL: Options = Options { segment_bytes: 16 << 10, spares: 2 };

pub(crate) type Records = BTreeMap<Number, Vec<u8>>;

pub(crate) struct Read {
    pub(crate) log: FileLog<SimDisk>,
    pub(crate) tail: Option<Tail>,
    pub(crate) records: Records,
}

pub(crate) fn open(disk: &SimDisk, needed: Number) -> Result<Read, OpenError> {
    let mut records = Records::new();
    let mut take = |number, record: &[u8]| {
        records.insert(number, record.to_vec());
        Ok(())
    };
    let Opened { log, tail } =
        FileLog::open_without_threads(disk.clone(), SMALL, needed, &mut take, Arc::new(|| {}))?;
    Ok(Read { log, tail, records })
}

/// Opens, and expects that it succeeds.
pub(crate) fn reopen(disk: &SimDisk) -> Read {
    open(disk, Number(u64::MAX)).unwrap()
}

impl Read {
    pub(crate) fn append(&mut self, record: &[u8]) -> Number {
        let epoch = self.log.epoch();
        self.log.append(epoch, record).unwrap()
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) -> Number {
        self.log.flush();
        while self.log.work() {}
        self.log.durable().unwrap()
    }
}

/// A record of a random length: most are short, some longer than a segment.
pub(crate) fn record(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = match random.u8(..20) {
        0 => random.usize(..40_000),
        1..5 => random.usize(..5_000),
        _ => random.usize(..300),
    };
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[test]
fn records_are_read_back_in_their_order() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    for number in 1..=100_u64 {
        assert_eq!(log.append(&number.to_le_bytes()), Number(number));
    }
    log.sync();
    log.log.close().unwrap();
    let log = reopen(&disk);
    assert_eq!(log.records.len(), 100);
    for (number, record) in &log.records {
        assert_eq!(record, &number.0.to_le_bytes());
    }
    assert_eq!((log.log.last(), log.log.epoch(), log.tail), (Number(100), Epoch(2), None));
}

#[test]
fn an_older_epoch_appends_nothing() {
    let disk = SimDisk::default();
    let old = reopen(&disk).log.epoch();
    let mut log = reopen(&disk);
    let refused = log.log.append(old, b"record").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "another process has taken over the log (epoch 2; this one has 1)"
    );
    assert_eq!(log.log.last(), Number(0));
}

#[test]
fn segments_are_used_again_and_the_log_stays_short() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    for _ in 0..2000 {
        let number = log.append(&[7; 1000]);
        log.sync();
        log.log.cut(number);
    }
    // Two megabytes went through segments of 16 KiB.
    let segments =
        crate::Disk::names(&disk).unwrap().into_iter().filter(|name| name.ends_with(".segment"));
    assert!(segments.count() <= 5);
    // The records, the heads of segments and the manifests, but no zeros.
    assert!(disk.counts().written < 3_200_000, "{:?}", disk.counts());
    let last = log.log.last();
    log.log.close().unwrap();
    let log = open(&disk, last.next()).unwrap();
    assert_eq!(log.log.last(), last);
}

#[test]
fn records_that_were_cut_are_missed_where_they_are_needed() {
    let disk = SimDisk::default();
    let mut log = reopen(&disk);
    for _ in 0..100 {
        log.append(&[7; 1000]);
    }
    log.sync();
    log.log.cut(Number(50));
    while log.log.work() {}
    drop(log);
    let first = *reopen(&disk).records.keys().next().unwrap();
    assert!(first > Number(1) && first <= Number(51), "{first}");
    let error = open(&disk, Number(1)).err().unwrap().to_string();
    assert!(error.contains("begins behind the records that are needed"), "{error}");
}
