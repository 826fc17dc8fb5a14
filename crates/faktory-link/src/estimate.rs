//! The estimate of the link and the server: the round trip, the rate of answers, and from these how
//! many jobs may be in flight.
//!
//! The method is that of BBR (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM
//! Queue 14/5, 2016), with jobs for bytes and answers for acknowledgements. Each command notes how
//! many jobs had been answered when it left, so that its own answer gives one sample of the rate.
//! The maximum of the rate and the minimum of the round trip, each over a sliding window, bound
//! the jobs in flight.

mod service_rate;

use std::time::Duration;

use tokio::time::Instant;

use self::service_rate::{Answer, ServiceRate};
use crate::windowed_max::WindowedMax;

/// Period of the window of the rate.
const RATE_COUNTS: Duration = Duration::from_secs(3);
/// Period of the window of the round trip.
const ROUND_TRIP_COUNTS: Duration = Duration::from_secs(30);
/// Round trips whose jobs may be in flight: more than one, so that the rate can show whether the
/// link carries more.
const ROUND_TRIPS: f64 = 2.0;
/// Commands over a more distant connection until the shortest distance has lost a good third of its
/// weight.
const DISTANCE_FORGETS: f64 = 1000.0;
/// Added to the round trip: a server that syncs answers in groups, and this machine has other work
/// too.
const SLACK: Duration = Duration::from_millis(20);
/// Jobs that may be in flight while nothing is known: the jobs that fifteen connections carry in
/// their first round trip, with ten segments of 1,448 bytes each (RFC 6928) and about 104 bytes a
/// job.
const JOBS_AT_FIRST: f64 = 2000.0;
/// Time for which a server that is the bottleneck always has work waiting.
const BEHIND_SERVER: Duration = Duration::from_millis(500);
/// Jobs that may be in flight however slow the server is.
const JOBS_MIN: f64 = 100.0;

/// A command that was sent, with the state of the estimate at that moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    at: Instant,
    answered: u64,
    jobs: usize,
    /// Whether more jobs waited than could leave.
    more_waited: bool,
}

/// The estimate of one link. Time comes in as an argument.
#[derive(Debug)]
pub(crate) struct Estimate {
    in_flight: usize,
    answered: u64,
    /// Jobs a second.
    rate: WindowedMax,
    /// Round trips in seconds, as their negatives: the maximum is the shortest.
    round_trip: WindowedMax,
    /// The network distance in seconds, where one has been seen.
    distance: Option<f64>,
    /// The round trip in seconds, smoothed over commands.
    smoothed: Option<f64>,
    service_rate: ServiceRate,
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
            service_rate: ServiceRate::new(),
        }
    }
}

impl Estimate {
    /// Takes in that a command with `jobs` jobs leaves, and whether more jobs wait than may leave.
    pub(crate) fn sent(&mut self, jobs: usize, more_waits: bool, now: Instant) -> Sent {
        self.in_flight += jobs;
        self.service_rate.sent(more_waits);
        Sent { at: now, answered: self.answered, jobs, more_waited: more_waits }
    }

    /// Takes in that the server has answered a command.
    pub(crate) fn answered(&mut self, sent: Sent, now: Instant) {
        self.unanswered(sent);
        self.answered += sent.jobs as u64;
        let took = now.duration_since(sent.at).as_secs_f64().max(1e-6);
        self.round_trip.record(-took, now);
        self.smoothed =
            Some(self.smoothed.map_or(took, |smoothed| smoothed + (took - smoothed) / 8.0));
        let rate = (self.answered - sent.answered) as f64 / took;
        self.rate.record(rate, now);
        let answer = Answer {
            answered: self.answered,
            more_in_flight: self.in_flight > 0,
            more_waited: sent.more_waited,
            min_round_trip: self.min_round_trip().unwrap_or_default(),
        };
        self.service_rate.answered(&answer, now);
    }

    /// Takes in that a command will get no answer, or has not left after all.
    pub(crate) fn unanswered(&mut self, sent: Sent) {
        self.in_flight = self.in_flight.saturating_sub(sent.jobs);
        if self.in_flight == 0 {
            self.service_rate.idle();
        }
    }

    /// Takes in the network distance of the connection that a command was answered on: the duration
    /// of its TCP handshake, which needs no work of the server. Returns the estimated distance: the
    /// shortest one, which slowly gives way to longer ones, because the handshake may have lost a
    /// packet and a route may change.
    pub(crate) fn note_distance(&mut self, distance: Duration) -> Duration {
        let seen = distance.as_secs_f64();
        let distance = self.distance.map_or(seen, |known| {
            if seen < known { seen } else { known + (seen - known) / DISTANCE_FORGETS }
        });
        self.distance = Some(distance);
        Duration::from_secs_f64(distance)
    }

    /// Jobs in flight.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The shortest round trip in the window, from a command to its answer.
    pub(crate) fn min_round_trip(&self) -> Option<Duration> {
        self.round_trip.max().map(|negative| Duration::from_secs_f64(-negative))
    }

    /// The round trip, smoothed over commands.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(Duration::from_secs_f64)
    }

    /// Jobs that may be in flight.
    pub(crate) fn allowed(&self, now: Instant) -> usize {
        let at_least = self.service_rate.at(now).map_or(JOBS_AT_FIRST, |rate| {
            let behind_server = rate * BEHIND_SERVER.as_secs_f64();
            behind_server.clamp(JOBS_MIN, JOBS_AT_FIRST)
        });
        let by_rate = match (self.rate.max(), self.base_round_trip_seconds()) {
            (Some(rate), Some(round_trip)) => {
                ROUND_TRIPS * rate * (round_trip + SLACK.as_secs_f64())
            }
            _ => 0.0,
        };
        at_least.max(by_rate) as usize
    }

    /// The base round trip in seconds: the shortest round trip, without the wait for the server. A
    /// server that always has work waiting shows no such round trip any more; then the distance
    /// bounds the base.
    fn base_round_trip_seconds(&self) -> Option<f64> {
        let longest = self
            .distance
            .map_or(f64::INFINITY, |distance| 2.0 * distance + BEHIND_SERVER.as_secs_f64() / 4.0);
        self.round_trip.max().map(|negative| (-negative).min(longest))
    }

    /// The base round trip; zero while nothing is known.
    pub(crate) fn base_round_trip(&self) -> Duration {
        self.base_round_trip_seconds().map_or(Duration::ZERO, Duration::from_secs_f64)
    }

    /// The wait of a job with `jobs` jobs ahead of it; zero while nothing is known.
    pub(crate) fn wait_behind(&self, jobs: usize, now: Instant) -> Duration {
        self.service_rate.at(now).map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64((jobs as f64 / rate.max(1.0)).min(1e6))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates a server at this distance that carries out `per_second` jobs, one command after
    /// another, while further jobs always wait. Returns the largest number of jobs in flight.
    fn drive(
        estimate: &mut Estimate,
        begin: Instant,
        per_second: f64,
        distance: Duration,
        seconds: f64,
    ) -> usize {
        let mut now = begin;
        let mut free_at = begin;
        let mut in_flight: std::collections::VecDeque<(Instant, Sent)> =
            std::collections::VecDeque::new();
        let mut most = 0;
        while now.duration_since(begin).as_secs_f64() < seconds {
            while estimate.in_flight() < estimate.allowed(now) {
                let sent = estimate.sent(100, true, now);
                let starts = (now + distance / 2).max(free_at);
                free_at = starts + Duration::from_secs_f64(100.0 / per_second);
                in_flight.push_back((free_at + distance / 2, sent));
            }
            most = most.max(estimate.in_flight());
            let (at, sent) = in_flight.pop_front().unwrap();
            now = at;
            estimate.answered(sent, now);
        }
        in_flight.into_iter().for_each(|(_, sent)| estimate.unanswered(sent));
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
    fn a_slow_server_has_few_jobs_waiting_on_it() {
        let mut estimate = Estimate::default();
        let begin = Instant::now();
        drive(&mut estimate, begin, 400.0, Duration::from_millis(100), 20.0);
        // The first 2,000 jobs leave before anything is known; later the bound is half a second's
        // work, or two round trips.
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
    fn a_link_whose_rate_still_grows_is_no_slow_server() {
        let mut estimate = Estimate::default();
        let mut now = Instant::now();
        let mut wait_after = |jobs: &[usize]| {
            for jobs in jobs {
                // One more job is always in flight.
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
