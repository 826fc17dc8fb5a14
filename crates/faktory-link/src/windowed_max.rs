//! The maximum over a sliding window, kept with two numbers.

use std::time::Duration;

use tokio::time::Instant;

/// A maximum over a sliding window: the greatest value of the current period and of the previous
/// one. Two numbers are enough for that, however many values are recorded. A period begins with
/// the first value that is recorded after the end of the period before.
#[derive(Debug)]
pub struct WindowedMax {
    period: Duration,
    since: Option<Instant>,
    current: Option<f64>,
    previous: Option<f64>,
}

impl WindowedMax {
    /// A window without values, whose periods have this length.
    #[must_use]
    pub const fn new(period: Duration) -> Self {
        Self { period, since: None, current: None, previous: None }
    }

    /// Records a value. An older value counts until values of two later periods are recorded,
    /// because a maximum that is out of date is better than none.
    pub fn record(&mut self, value: f64, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) >= self.period {
            self.previous = self.current.take();
            self.since = Some(now);
        }
        self.current = Some(self.current.map_or(value, |max| max.max(value)));
    }

    /// Records a value, after every value that has expired by the clock is dropped: see
    /// [`WindowedMax::max_at`].
    pub fn record_expiring(&mut self, value: f64, now: Instant) {
        if self.periods(now) >= 2.0 {
            *self = Self::new(self.period);
        }
        self.record(value, now);
    }

    /// The maximum, also where the last value was recorded long ago.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        match (self.current, self.previous) {
            (Some(current), Some(previous)) => Some(current.max(previous)),
            (current, previous) => current.or(previous),
        }
    }

    /// The maximum of the values that have not expired by the clock: `None` where no value was
    /// recorded for two periods.
    #[must_use]
    pub fn max_at(&self, now: Instant) -> Option<f64> {
        match self.periods(now) {
            periods if periods >= 2.0 => None,
            periods if periods >= 1.0 => self.current,
            _ => self.max(),
        }
    }

    /// Periods since the current period began.
    fn periods(&self, now: Instant) -> f64 {
        self.since.map_or(0.0, |since| {
            now.duration_since(since).as_secs_f64() / self.period.as_secs_f64()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_maximum_gives_way_to_values_of_later_periods() {
        let mut window = WindowedMax::new(Duration::from_secs(3));
        let begin = Instant::now();
        window.record(9.0, begin);
        for second in 1..=7 {
            window.record(1.0, begin + Duration::from_secs(second));
        }
        assert_eq!(window.max(), Some(1.0));
    }

    #[test]
    fn a_value_expires_by_the_clock_after_two_periods() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut window = WindowedMax::new(Duration::from_secs(3));
        assert_eq!(window.max_at(at(0)), None);
        window.record_expiring(9.0, at(0));
        window.record_expiring(5.0, at(3));
        assert_eq!(
            (window.max_at(at(5)), window.max_at(at(6)), window.max_at(at(9))),
            (Some(9.0), Some(5.0), None)
        );
        assert_eq!(window.max(), Some(9.0));
        window.record_expiring(1.0, at(10));
        assert_eq!((window.max_at(at(10)), window.max()), (Some(1.0), Some(1.0)));
    }
}
