//! Counters of the relays, and the verdict whether a measurement counts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest recorded lateness, in microseconds: a minute.
const LATENESS_MAX_US: u64 = 60_000_000;

/// One direction's counters since the link started, or since [`crate::Link::reset_counters`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct DirectionCounters {
    /// Packets delivered.
    pub packets: u64,
    /// Bytes of IP packets delivered.
    pub bytes: u64,
    /// Packets lost by chance, as the settings say.
    pub lost: u64,
    /// Packets dropped because the queue of a limited rate was full, as the settings say.
    pub queue_full: u64,
    /// Packets dropped because the link was cut.
    pub cut: u64,
    /// Packets dropped because the emulated NAT had forgotten their flow.
    pub forgotten: u64,
    /// Packets dropped by a fault of the emulator or of its devices.
    pub dropped_unasked: u64,
    /// Packets delivered later than [`Tolerance::late_after`] after their due time.
    pub late: u64,
    /// The median of the packets' lateness, in microseconds.
    pub late_p50_us: u64,
    /// The 99th percentile of the lateness, in microseconds.
    pub late_p99_us: u64,
    /// The largest lateness, in microseconds.
    pub late_max_us: u64,
}

/// The faults of the emulator itself that a measurement can bear; with more, the measurement is
/// void.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// A packet is late when it is delivered later than this after its due time.
    pub late_after: Duration,
    /// The largest share of late packets.
    pub late_share: f64,
}

impl Default for Tolerance {
    /// 1 ms, and 1 % of the packets. With real-time priority, a two-core machine is several times
    /// better, except where both cores are busy and no delay is added: there, rows of packets
    /// wait 0.3 to 0.8 ms for the relay.
    fn default() -> Self {
        Self { late_after: Duration::from_millis(1), late_share: 0.01 }
    }
}

/// The verdict whether the emulator did exactly what its settings say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The emulator was sound.
    Sound,
    /// The emulator had faults, for these reasons: a measurement of this time does not count.
    Void(Vec<String>),
}

/// Counters that the thread of a relay writes and other threads read.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) packets: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) forgotten: AtomicU64,
    pub(crate) dropped_unasked: AtomicU64,
    pub(crate) late: AtomicU64,
    lateness: Mutex<Option<Histogram<u64>>>,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Live {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            packets: zero(),
            bytes: zero(),
            lost: zero(),
            queue_full: zero(),
            cut: zero(),
            forgotten: zero(),
            dropped_unasked: zero(),
            late: zero(),
            lateness: Mutex::new(Histogram::new_with_bounds(1, LATENESS_MAX_US, 2).ok()),
        }
    }

    pub(crate) fn delivered(&self, bytes: usize, lateness: Duration, tolerance: &Tolerance) {
        count(&self.packets, 1);
        count(&self.bytes, bytes as u64);
        if lateness > tolerance.late_after {
            count(&self.late, 1);
        }
        if let Ok(mut histogram) = self.lateness.lock()
            && let Some(histogram) = histogram.as_mut()
        {
            histogram.saturating_record(u64::try_from(lateness.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn reset(&self) {
        for counter in [
            &self.packets,
            &self.bytes,
            &self.lost,
            &self.queue_full,
            &self.cut,
            &self.forgotten,
            &self.dropped_unasked,
            &self.late,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        if let Ok(mut histogram) = self.lateness.lock()
            && let Some(histogram) = histogram.as_mut()
        {
            histogram.reset();
        }
    }

    pub(crate) fn read(&self) -> DirectionCounters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let late_us = |quantile: f64| {
            let histogram = self.lateness.lock().ok();
            histogram
                .and_then(|histogram| {
                    histogram.as_ref().map(|histogram| histogram.value_at_quantile(quantile))
                })
                .unwrap_or(0)
        };
        DirectionCounters {
            packets: of(&self.packets),
            bytes: of(&self.bytes),
            lost: of(&self.lost),
            queue_full: of(&self.queue_full),
            cut: of(&self.cut),
            forgotten: of(&self.forgotten),
            dropped_unasked: of(&self.dropped_unasked),
            late: of(&self.late),
            late_p50_us: late_us(0.5),
            late_p99_us: late_us(0.99),
            late_max_us: late_us(1.0),
        }
    }
}

/// The verdict from the counters of both directions.
pub(crate) fn verdict(counters: &[DirectionCounters], tolerance: &Tolerance) -> Verdict {
    let mut reasons = Vec::new();
    let sum = |of: fn(&DirectionCounters) -> u64| counters.iter().map(of).sum::<u64>();
    let (packets, late) = (sum(|counters| counters.packets), sum(|counters| counters.late));
    if sum(|counters| counters.dropped_unasked) > 0 {
        reasons.push(format!(
            "the emulator dropped {} packets unasked",
            sum(|counters| counters.dropped_unasked)
        ));
    }
    if late as f64 > packets as f64 * tolerance.late_share {
        let worst = counters.iter().map(|counters| counters.late_max_us).max().unwrap_or(0);
        reasons.push(format!(
            "{late} of {packets} packets were more than {:?} late (the latest by {:?})",
            tolerance.late_after,
            Duration::from_micros(worst)
        ));
    }
    if reasons.is_empty() { Verdict::Sound } else { Verdict::Void(reasons) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_packets_and_many_late_packets_make_a_measurement_void() {
        let tolerance = Tolerance::default();
        let live = Live::new();
        for _ in 0..1000 {
            live.delivered(100, Duration::from_micros(80), &tolerance);
        }
        for _ in 0..10 {
            live.delivered(100, Duration::from_millis(5), &tolerance);
        }
        count(&live.lost, 500);
        assert_eq!(
            verdict(&[live.read()], &tolerance),
            Verdict::Sound,
            "1 % late packets are within the tolerance, and a configured loss is no fault"
        );
        live.delivered(100, Duration::from_millis(5), &tolerance);
        let Verdict::Void(reasons) = verdict(&[live.read()], &tolerance) else { panic!() };
        assert!(
            reasons[0].starts_with("11 of 1011 packets were more than 1ms late"),
            "{reasons:?}"
        );
        live.reset();
        count(&live.dropped_unasked, 1);
        assert_eq!(
            verdict(&[live.read()], &tolerance),
            Verdict::Void(vec!["the emulator dropped 1 packets unasked".into()])
        );
    }
}
