//! The service rate: the jobs a second that the server, or the link, really carries.
//!
//! The service rate is measured over busy periods in which more jobs waited than could leave: with
//! fewer jobs, the rate of answers is only the rate of jobs.

use std::time::Duration;

use tokio::time::Instant;

use crate::windowed_max::WindowedMax;

/// Length of a measurement at the least; a round trip where that is longer.
const MEASURED_OVER: Duration = Duration::from_millis(250);
/// Period of the window of measurements. Their maximum counts, because a server that stops for a
/// moment, or a lost packet, is no slow server.
const WINDOW_PERIOD: Duration = Duration::from_millis(2500);
/// The rate still grows, as at a start while the congestion windows open, where a measurement is at
/// least so many times the best measurement before.
const GROWS_BY: f64 = 1.25;
/// Measurements without growth after which the rate is the server's own. This and the factor are
/// the figures by which BBR knows that the pipe is full.
const FULL_AFTER: u32 = 3;
/// Time for which the service rate counts after the last measurement.
const COUNTS_FOR: Duration = Duration::from_secs(5);

/// The service rate of one link. Time comes in as an argument.
#[derive(Debug)]
pub(super) struct ServiceRate {
    /// The current measurement, since an answer after which more jobs were in flight.
    busy: Option<BusyPeriod>,
    measured: WindowedMax,
    last_measured: Option<Instant>,
}

/// A measurement over a time in which jobs were always in flight.
#[derive(Debug, Clone, Copy)]
struct BusyPeriod {
    since: Instant,
    /// Jobs answered in all before this time.
    answered: u64,
    /// Whether more jobs waited than could leave.
    more_waited: bool,
    growth: Growth,
}

/// The growth of the rate within a busy period.
#[derive(Debug, Clone, Copy, Default)]
struct Growth {
    best: f64,
    measurements_without: u32,
}

impl Growth {
    fn measured(&mut self, rate: f64) {
        if rate >= self.best * GROWS_BY {
            *self = Self { best: rate, measurements_without: 0 };
        } else {
            self.measurements_without = self.measurements_without.saturating_add(1);
        }
    }

    const fn is_over(self) -> bool {
        self.measurements_without >= FULL_AFTER
    }
}

/// The answer to a command, as the service rate sees it.
pub(super) struct Answer {
    /// Jobs answered in all, with the jobs of this command.
    pub(super) answered: u64,
    /// Whether further jobs are in flight.
    pub(super) more_in_flight: bool,
    /// Whether more jobs waited than could leave, when this command left.
    pub(super) more_waited: bool,
    /// The shortest round trip.
    pub(super) min_round_trip: Duration,
}

impl ServiceRate {
    pub(super) const fn new() -> Self {
        Self { busy: None, measured: WindowedMax::new(WINDOW_PERIOD), last_measured: None }
    }

    /// Takes in that a command leaves, and whether more jobs wait than may leave.
    pub(super) fn sent(&mut self, more_waits: bool) {
        if let Some(busy) = &mut self.busy {
            busy.more_waited |= more_waits;
        }
    }

    /// Takes in that no job is in flight any more.
    pub(super) const fn idle(&mut self) {
        self.busy = None;
    }

    /// Takes in the answer to a command.
    pub(super) fn answered(&mut self, answer: &Answer, now: Instant) {
        let Answer { answered, more_waited, .. } = *answer;
        let begin = BusyPeriod { since: now, answered, more_waited, growth: Growth::default() };
        let Some(busy) = self.busy else {
            self.busy = answer.more_in_flight.then_some(begin);
            return;
        };
        let lasted = now.duration_since(busy.since);
        if lasted >= MEASURED_OVER.max(answer.min_round_trip) {
            let rate = (answered - busy.answered) as f64 / lasted.as_secs_f64();
            let mut growth = busy.growth;
            if busy.more_waited {
                growth.measured(rate);
                if growth.is_over() {
                    self.measured.record(rate, now);
                    self.last_measured = Some(now);
                }
            }
            self.busy = Some(BusyPeriod { growth, ..begin });
        }
    }

    /// The service rate, where it was measured recently.
    pub(super) fn at(&self, now: Instant) -> Option<f64> {
        self.last_measured
            .filter(|at| now.duration_since(*at) < COUNTS_FOR)
            .and_then(|_| self.measured.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The service rate after measurements of these numbers of jobs, with more jobs waiting or not.
    fn after(jobs: &[u64], more_waited: bool) -> Option<f64> {
        let (mut service_rate, mut now) = (ServiceRate::new(), Instant::now());
        let mut answered = 0;
        for jobs in std::iter::once(&0).chain(jobs) {
            answered += jobs;
            let min_round_trip = Duration::from_millis(100);
            let answer = Answer { answered, more_in_flight: true, more_waited, min_round_trip };
            service_rate.answered(&answer, now);
            now += MEASURED_OVER;
        }
        service_rate.at(now)
    }

    #[test]
    fn the_rate_is_known_after_three_measurements_without_growth() {
        assert_eq!(after(&[100, 200, 400, 400, 400], true), None);
        assert_eq!(after(&[100, 200, 400, 400, 400, 400], true), Some(1600.0));
    }

    #[test]
    fn a_link_without_waiting_jobs_says_nothing_about_the_server() {
        assert_eq!(after(&[100; 20], false), None);
    }

    #[test]
    fn the_rate_is_forgotten_five_seconds_after_the_last_measurement() {
        let (mut service_rate, begin) = (ServiceRate::new(), Instant::now());
        service_rate.measured.record(100.0, begin);
        service_rate.last_measured = Some(begin);
        assert_eq!(service_rate.at(begin + Duration::from_millis(4999)), Some(100.0));
        assert_eq!(service_rate.at(begin + COUNTS_FOR), None);
    }
}
