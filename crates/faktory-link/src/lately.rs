//! The greatest of late, with two numbers for memory.

use std::time::Duration;

use tokio::time::Instant;

/// The greatest of late: the greatest of this period and of the last. A period begins when
/// something is noted after the end of the one before.
#[derive(Debug)]
pub struct Lately {
    period: Duration,
    since: Option<Instant>,
    current: Option<f64>,
    previous: Option<f64>,
}

impl Lately {
    /// Nothing yet; periods are this long.
    #[must_use]
    pub const fn new(period: Duration) -> Self {
        Self { period, since: None, current: None, previous: None }
    }

    /// Notes a value.
    pub fn note(&mut self, value: f64, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) >= self.period {
            self.previous = self.current.take();
            self.since = Some(now);
        }
        self.current = Some(self.current.map_or(value, |greatest| greatest.max(value)));
    }

    /// As [`Lately::note`], where what is two periods old does not count any more however long
    /// nothing was noted.
    pub fn note_afresh(&mut self, value: f64, now: Instant) {
        if self.periods(now) >= 2.0 {
            *self = Self::new(self.period);
        }
        self.note(value, now);
    }

    /// The greatest, however long nothing was noted.
    #[must_use]
    pub fn greatest(&self) -> Option<f64> {
        match (self.current, self.previous) {
            (Some(current), Some(previous)) => Some(current.max(previous)),
            (current, previous) => current.or(previous),
        }
    }

    /// The greatest of this period and of the last, by the clock: nothing where nothing was noted
    /// for two.
    #[must_use]
    pub fn greatest_at(&self, now: Instant) -> Option<f64> {
        match self.periods(now) {
            periods if periods >= 2.0 => None,
            periods if periods >= 1.0 => self.current,
            _ => self.greatest(),
        }
    }

    /// Periods since this one began.
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
    fn what_was_the_best_is_forgotten() {
        let mut lately = Lately::new(Duration::from_secs(3));
        let begin = Instant::now();
        lately.note(9.0, begin);
        for second in 1..=7 {
            lately.note(1.0, begin + Duration::from_secs(second));
        }
        assert_eq!(lately.greatest(), Some(1.0));
    }

    #[test]
    fn by_the_clock_it_is_forgotten_after_two_periods() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut lately = Lately::new(Duration::from_secs(3));
        assert_eq!(lately.greatest_at(at(0)), None);
        lately.note_afresh(9.0, at(0));
        lately.note_afresh(5.0, at(3));
        assert_eq!(
            (lately.greatest_at(at(5)), lately.greatest_at(at(6)), lately.greatest_at(at(9))),
            (Some(9.0), Some(5.0), None)
        );
        assert_eq!(lately.greatest(), Some(9.0));
        lately.note_afresh(1.0, at(10));
        assert_eq!((lately.greatest_at(at(10)), lately.greatest()), (Some(1.0), Some(1.0)));
    }
}
