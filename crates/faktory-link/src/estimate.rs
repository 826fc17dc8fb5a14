//! What the link learns of the way and of the server: the round trip, the rate of answers, and from
//! these how many jobs may be on their way at a time.
//!
//! The method is that of BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM
//! Queue 14/5, 2016), with jobs for bytes and answers for acknowledgements: each command notes how
//! many jobs had been answered when it left, so that its own answer gives one sample of the rate;
//! the best rate and the shortest round trip of late bound what is under way.

use std::time::Duration;

use tokio::time::Instant;

use crate::windowed_max::WindowedMax;

/// For so long the best rate counts.
const RATE_COUNTS: Duration = Duration::from_secs(3);
/// A server's own rate is looked at over so long, or a round trip if that is more.
const SERVICE_OVER: Duration = Duration::from_millis(250);
/// The best of so long counts, and of as long before.
const SERVICE_BEST_OF: Duration = Duration::from_millis(2500);
/// The rate still grows, as at a start while the congestion windows open, where a look is so many
/// times the best before;
const GROWS_BY: f64 = 1.25;
/// and what is seen is the server's own after so many looks at which it did not: the figures by
/// which BBR knows that the pipe is full.
const FULL_AFTER: u32 = 3;
/// For so long it counts.
const SERVICE_COUNTS: Duration = Duration::from_secs(5);
/// For so long the shortest round trip counts.
const ROUND_TRIP_COUNTS: Duration = Duration::from_secs(30);
/// Under way are as many jobs as are answered in this many round trips, so that the rate can show
/// whether there is room for more.
const ROUND_TRIPS: f64 = 2.0;
/// Commands over a longer way after which the shortest seen counts a good third.
const DISTANCE_FORGETS: f64 = 1000.0;
/// Added to the round trip: a server that syncs answers in groups, and this machine has other
/// things to do.
const SLACK: Duration = Duration::from_millis(20);
/// While nothing is known: what fifteen connections carry in their first round trip, ten segments
/// of 1,448 bytes each (RFC 6928) at about 104 bytes a job.
const JOBS_AT_FIRST: f64 = 2000.0;
/// A server that is the narrow place has so much work waiting on it.
const BEHIND_SERVER: Duration = Duration::from_millis(500);
/// However slow the server is.
const JOBS_MIN: f64 = 100.0;

/// What was so when a command left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    at: Instant,
    answered: u64,
    jobs: usize,
    /// More waited behind it than could leave.
    held_back: bool,
}

/// What is known. Time comes in as an argument.
#[derive(Debug)]
pub(crate) struct Estimate {
    in_flight: usize,
    answered: u64,
    /// Jobs a second.
    rate: WindowedMax,
    /// Seconds, as its negative: the best is the shortest.
    round_trip: WindowedMax,
    /// How long the way takes without the server's work, where that has been seen, in seconds.
    distance: Option<f64>,
    /// Smoothed over commands, in seconds.
    smoothed: Option<f64>,
    /// Since the first answer of a time in which something was always under way.
    busy: Option<Busy>,
    /// The rate over such a time in which more waited than could leave: what the server, or the
    /// way, really gives. The best of late, since a server that stops for a moment, or a lost
    /// packet, is no slow server.
    service: WindowedMax,
    /// When that was seen last.
    service_at: Option<Instant>,
}

/// A time in which something was always under way.
#[derive(Debug, Clone, Copy)]
struct Busy {
    since: Instant,
    answered: u64,
    held_back: bool,
    growth: Growth,
}

/// Whether the rate still grows.
#[derive(Debug, Clone, Copy, Default)]
struct Growth {
    best: f64,
    looks_without: u32,
}

impl Growth {
    fn look(&mut self, rate: f64) {
        if rate >= self.best * GROWS_BY {
            *self = Self { best: rate, looks_without: 0 };
        } else {
            self.looks_without = self.looks_without.saturating_add(1);
        }
    }

    const fn is_over(self) -> bool {
        self.looks_without >= FULL_AFTER
    }
}

impl Default for Estimate {
    fn default() -> Self {
        Self {
            in_flight: 0,
            answered: 0,
            rate: WindowedMax::new(RATE_COUNTS),
            round_trip: WindowedMax::new(ROUND_TRIP_COUNTS),
            distance: None,
            smoothed: None,
            busy: None,
            service: WindowedMax::new(SERVICE_BEST_OF),
            service_at: None,
        }
    }
}

impl Estimate {
    /// A command with so many jobs leaves; `held_back` where more waits than may leave.
    pub(crate) fn sent(&mut self, jobs: usize, held_back: bool, now: Instant) -> Sent {
        self.in_flight += jobs;
        if let Some(busy) = &mut self.busy {
            busy.held_back |= held_back;
        }
        Sent { at: now, answered: self.answered, jobs, held_back }
    }

    /// It was answered.
    pub(crate) fn answered(&mut self, sent: Sent, now: Instant) {
        self.unanswered(sent);
        self.answered += sent.jobs as u64;
        let took = now.duration_since(sent.at).as_secs_f64().max(1e-6);
        self.round_trip.record(-took, now);
        self.smoothed =
            Some(self.smoothed.map_or(took, |smoothed| smoothed + (took - smoothed) / 8.0));
        let rate = (self.answered - sent.answered) as f64 / took;
        self.rate.record(rate, now);
        self.note_service(sent.held_back, now);
    }

    fn note_service(&mut self, held_back: bool, now: Instant) {
        let begin =
            Busy { since: now, answered: self.answered, held_back, growth: Growth::default() };
        let Some(busy) = self.busy else {
            self.busy = (self.in_flight > 0).then_some(begin);
            return;
        };
        let lasted = now.duration_since(busy.since);
        if lasted >= SERVICE_OVER.max(self.min_round_trip().unwrap_or_default()) {
            let rate = (self.answered - busy.answered) as f64 / lasted.as_secs_f64();
            let mut growth = busy.growth;
            if busy.held_back {
                growth.look(rate);
                if growth.is_over() {
                    self.service.record(rate, now);
                    self.service_at = Some(now);
                }
            }
            self.busy = Some(Busy { growth, ..begin });
        }
    }

    /// What the server really gives, where that has shown of late.
    fn service(&self, now: Instant) -> Option<f64> {
        self.service_at
            .filter(|at| now.duration_since(*at) < SERVICE_COUNTS)
            .and_then(|_| self.service.max())
    }

    /// It will not be answered, or has not left after all.
    pub(crate) fn unanswered(&mut self, sent: Sent) {
        self.in_flight = self.in_flight.saturating_sub(sent.jobs);
        if self.in_flight == 0 {
            self.busy = None;
        }
    }

    /// A command was answered over a connection whose handshake took so long, without any work of
    /// the server. Returns the distance: the shortest, and slowly what is seen instead, because a
    /// handshake may have lost a packet and a way may change.
    pub(crate) fn note_distance(&mut self, distance: Duration) -> Duration {
        let seen = distance.as_secs_f64();
        let distance = self.distance.map_or(seen, |known| {
            if seen < known { seen } else { known + (seen - known) / DISTANCE_FORGETS }
        });
        self.distance = Some(distance);
        Duration::from_secs_f64(distance)
    }

    /// Jobs under way.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The shortest time of late from a command to its answer.
    pub(crate) fn min_round_trip(&self) -> Option<Duration> {
        self.round_trip.max().map(|negative| Duration::from_secs_f64(-negative))
    }

    /// The same, smoothed over the commands as they came.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(Duration::from_secs_f64)
    }

    /// Jobs that may be under way.
    pub(crate) fn allowed(&self, now: Instant) -> usize {
        let at_least = self.service(now).map_or(JOBS_AT_FIRST, |rate| {
            let behind_server = rate * BEHIND_SERVER.as_secs_f64();
            behind_server.clamp(JOBS_MIN, JOBS_AT_FIRST)
        });
        let by_rate = match (self.rate.max(), self.base_round_trip_seconds()) {
            (Some(rate), Some(way)) => ROUND_TRIPS * rate * (way + SLACK.as_secs_f64()),
            _ => 0.0,
        };
        at_least.max(by_rate) as usize
    }

    /// The shortest round trip; a server that always has work waiting shows no short one any more,
    /// and then the distance bounds what is taken for one.
    fn base_round_trip_seconds(&self) -> Option<f64> {
        let longest = self
            .distance
            .map_or(f64::INFINITY, |distance| 2.0 * distance + BEHIND_SERVER.as_secs_f64() / 4.0);
        self.round_trip.max().map(|negative| (-negative).min(longest))
    }

    /// The same; zero while nothing is known.
    pub(crate) fn base_round_trip(&self) -> Duration {
        self.base_round_trip_seconds().map_or(Duration::ZERO, Duration::from_secs_f64)
    }

    /// How long a job would wait that has so many ahead of it; zero while nothing is known.
    pub(crate) fn wait_behind(&self, jobs: usize, now: Instant) -> Duration {
        self.service(now).map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64((jobs as f64 / rate.max(1.0)).min(1e6))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that carries out so many jobs a second, one command after another, at this
    /// distance; `waiting` always waits.
    fn drive(
        estimate: &mut Estimate,
        begin: Instant,
        per_second: f64,
        distance: Duration,
        seconds: f64,
    ) -> usize {
        let mut now = begin;
        let mut free_at = begin;
        let mut under_way: std::collections::VecDeque<(Instant, Sent)> =
            std::collections::VecDeque::new();
        let mut most = 0;
        while now.duration_since(begin).as_secs_f64() < seconds {
            while estimate.in_flight() < estimate.allowed(now) {
                let sent = estimate.sent(100, true, now);
                let starts = (now + distance / 2).max(free_at);
                free_at = starts + Duration::from_secs_f64(100.0 / per_second);
                under_way.push_back((free_at + distance / 2, sent));
            }
            most = most.max(estimate.in_flight());
            let (at, sent) = under_way.pop_front().unwrap();
            now = at;
            estimate.answered(sent, now);
        }
        under_way.into_iter().for_each(|(_, sent)| estimate.unanswered(sent));
        most
    }

    #[test]
    fn a_fast_server_far_away_is_kept_busy() {
        let mut estimate = Estimate::default();
        let distance = Duration::from_millis(100);
        let begin = Instant::now();
        drive(&mut estimate, begin, 100_000.0, distance, 3.0);
        let rate = estimate.rate.max().unwrap();
        assert!((90_000.0..120_000.0).contains(&rate), "{rate}");
        assert!(
            estimate.allowed(begin) > 10_000,
            "a round trip's worth of jobs: {}",
            estimate.allowed(begin)
        );
        assert!(
            estimate.allowed(begin) < 50_000,
            "and not without bound: {}",
            estimate.allowed(begin)
        );
    }

    #[test]
    fn a_slow_server_has_little_waiting_on_it() {
        let mut estimate = Estimate::default();
        let begin = Instant::now();
        drive(&mut estimate, begin, 400.0, Duration::from_millis(100), 20.0);
        // The first 2,000 are away before anything is known; after that half a second's worth or
        // two round trips.
        let begin = begin + Duration::from_secs(20);
        let most = drive(&mut estimate, begin, 400.0, Duration::from_millis(100), 20.0);
        assert!(most <= 600, "{most}");
        let wait = estimate.wait_behind(400, begin + Duration::from_secs(20)).as_secs_f64();
        assert!((0.8..1.3).contains(&wait), "{wait}");
    }

    #[test]
    fn little_traffic_says_nothing_about_the_server() {
        let mut estimate = Estimate::default();
        let begin = Instant::now();
        for second in 0..100 {
            let now = begin + Duration::from_secs(second);
            let sent = estimate.sent(1, false, now);
            estimate.answered(sent, now + Duration::from_millis(100));
        }
        assert_eq!(estimate.allowed(begin + Duration::from_secs(100)), JOBS_AT_FIRST as usize);
        assert_eq!(estimate.min_round_trip(), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_way_that_still_opens_is_no_slow_server() {
        let mut estimate = Estimate::default();
        let mut now = Instant::now();
        let mut wait_after = |jobs: &[usize]| {
            for jobs in jobs {
                // One more is always under way.
                let (sent, _) = (estimate.sent(*jobs, true, now), estimate.sent(1, true, now));
                now += Duration::from_millis(300);
                estimate.answered(sent, now);
            }
            estimate.wait_behind(33_000, now)
        };
        assert_eq!(wait_after(&[600, 1200, 2400, 4800, 9600, 19_200]), Duration::ZERO);
        assert_eq!(wait_after(&[19_800, 19_800]), Duration::ZERO);
        let wait = wait_after(&[19_800, 19_800, 19_800]).as_secs_f64();
        assert!((0.4..0.6).contains(&wait), "{wait}");
    }
}
