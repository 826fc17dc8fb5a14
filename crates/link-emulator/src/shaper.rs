//! The fate of each packet: its time of arrival, or its loss. Pure: time and chance are arguments.
//!
//! A packet first waits for its turn on the wire (rate and queue), then travels (delay and jitter).
//! Loss is decided at the end of the wire, so that lost packets use their share of the rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::settings::Settings;

/// The fate of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The packet arrives at this time.
    Arrives(Instant),
    /// The packet is lost by chance.
    Lost,
    /// The packet is dropped because the queue is full.
    QueueFull,
}

/// The shaper of one direction.
pub(crate) struct Shaper {
    settings: Settings,
    rng: Rng,
    /// The times at which the waiting packets, and the packet on the wire, have left the wire.
    leaving: VecDeque<Instant>,
    last_arrival: Option<Instant>,
    wave: Wave,
}

/// Jitter that keeps the order: a delay that changes with time, not with each packet. With a random
/// delay for each packet, the kept order would turn the delay into the largest of the latest random
/// delays, which grows with the number of packets.
///
/// The delay follows straight lines between random heights. Each line lasts twice the jitter, so
/// the delay never falls faster than time passes.
#[derive(Default)]
struct Wave {
    /// The current line: the time of its beginning, and the heights of its beginning and end.
    line: Option<(Instant, f64, f64)>,
}

impl Wave {
    /// The height at a time, between 0 and 1.
    fn share(&mut self, at: Instant, jitter: Duration, rng: &mut Rng) -> f64 {
        let lasts = jitter * 2;
        let (mut began, mut from, mut to) = self.line.unwrap_or_else(|| (at, rng.f64(), rng.f64()));
        let passed = at.saturating_duration_since(began);
        if passed >= lasts * 2 {
            // No packet came for longer than a line: begin anew.
            (began, from, to) = (at, rng.f64(), rng.f64());
        } else if passed >= lasts {
            (began, from, to) = (began + lasts, to, rng.f64());
        }
        self.line = Some((began, from, to));
        let way = at.saturating_duration_since(began).as_secs_f64() / lasts.as_secs_f64();
        from + (to - from) * way.min(1.0)
    }
}

impl Shaper {
    pub(crate) const fn new(settings: Settings, rng: Rng) -> Self {
        Self {
            settings,
            rng,
            leaving: VecDeque::new(),
            last_arrival: None,
            wave: Wave { line: None },
        }
    }

    /// Changes the settings from the next packet on.
    pub(crate) const fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The fate of a packet that is taken now.
    pub(crate) fn fate(&mut self, now: Instant, bytes: usize) -> Fate {
        while self.leaving.front().is_some_and(|left| *left <= now) {
            self.leaving.pop_front();
        }
        let mut left = now;
        if let Some(rate) = self.settings.rate {
            if self.leaving.len() > self.settings.queue {
                return Fate::QueueFull;
            }
            let start = self.leaving.back().map_or(now, |last| (*last).max(now));
            left = start + Duration::from_secs_f64(bytes as f64 * 8.0 / rate.max(1) as f64);
            self.leaving.push_back(left);
        }
        if self.settings.loss > 0.0 && self.rng.f64() < self.settings.loss {
            return Fate::Lost;
        }
        let mut arrival = left + self.settings.delay;
        if !self.settings.jitter.is_zero() {
            let share = if self.settings.reorder {
                self.rng.f64()
            } else {
                self.wave.share(left, self.settings.jitter, &mut self.rng)
            };
            arrival += self.settings.jitter.mul_f64(share);
        }
        if !self.settings.reorder {
            arrival = self.last_arrival.map_or(arrival, |last| last.max(arrival));
        }
        self.last_arrival = Some(arrival);
        Fate::Arrives(arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaper(settings: Settings) -> Shaper {
        Shaper::new(settings, Rng::with_seed(7))
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_delay_is_added_to_every_packet_and_nothing_else_changes() {
        let now = Instant::now();
        let mut shaper = shaper(Settings { delay: 50 * MS, ..Settings::default() });
        for step in 0..100 {
            let now = now + step * MS;
            assert_eq!(shaper.fate(now, 1500), Fate::Arrives(now + 50 * MS));
        }
    }

    #[test]
    fn a_limited_rate_spaces_packets_and_its_queue_is_bounded() {
        let now = Instant::now();
        // 1,000 bytes take a millisecond.
        let mut shaper =
            shaper(Settings { rate: Some(8_000_000), queue: 10, ..Settings::default() });
        for number in 1..=11 {
            assert_eq!(shaper.fate(now, 1000), Fate::Arrives(now + number * MS));
        }
        assert_eq!(shaper.fate(now, 1000), Fate::QueueFull);
        assert_eq!(shaper.fate(now + MS, 1000), Fate::Arrives(now + 12 * MS));
        assert_eq!(shaper.fate(now + 100 * MS, 500), Fate::Arrives(now + 100 * MS + MS / 2));
    }

    #[test]
    fn jitter_keeps_the_order_unless_reordering_is_on() {
        let now = Instant::now();
        let arrivals = |reorder| {
            let mut shaper = shaper(Settings {
                delay: 50 * MS,
                jitter: 25 * MS,
                reorder,
                ..Settings::default()
            });
            let arrivals: Vec<Instant> = (0..1000)
                .map(|step| match shaper.fate(now + step * MS, 100) {
                    Fate::Arrives(at) => {
                        let travelled = at - (now + step * MS);
                        assert!(travelled >= 50 * MS && travelled <= 75 * MS, "{travelled:?}");
                        at
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
            arrivals.is_sorted()
        };
        assert!(arrivals(false));
        assert!(!arrivals(true));
    }

    #[test]
    fn jitter_is_the_same_for_many_packets_and_for_few() {
        let now = Instant::now();
        let travelled = |gap: Duration, count: u32| {
            let mut shaper =
                shaper(Settings { delay: 50 * MS, jitter: 25 * MS, ..Settings::default() });
            let times: Vec<f64> = (0..count)
                .map(|step| match shaper.fate(now + gap * step, 100) {
                    Fate::Arrives(at) => (at - (now + gap * step)).as_secs_f64() * 1e3,
                    other => panic!("{other:?}"),
                })
                .collect();
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            let spread = (times.iter().map(|time| (time - mean).powi(2)).sum::<f64>()
                / times.len() as f64)
                .sqrt();
            (mean, spread)
        };
        for (mean, spread) in [travelled(MS / 10, 1_000_000), travelled(100 * MS, 2000)] {
            assert!(
                (61.0..64.0).contains(&mean) && (5.0..8.5).contains(&spread),
                "{mean} {spread}"
            );
        }
    }

    #[test]
    fn the_configured_share_of_packets_is_lost() {
        let now = Instant::now();
        let mut shaper = shaper(Settings { loss: 0.01, ..Settings::default() });
        let lost = (0..100_000).filter(|_| shaper.fate(now, 100) == Fate::Lost).count();
        assert!((900..1100).contains(&lost), "{lost}");
        shaper.set(Settings { loss: 1.0, ..Settings::default() });
        assert_eq!(shaper.fate(now, 100), Fate::Lost);
    }
}
