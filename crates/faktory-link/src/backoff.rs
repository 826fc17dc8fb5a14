//! The backoff of reconnects: the pauses between attempts to reach a work server.

use std::time::Duration;

/// The factor by which each pause is longer than the one before.
const FACTOR: u32 = 2;

/// An exponential backoff with jitter, for an endless series of attempts.
///
/// The longest pause of an attempt begins at `first`, doubles with each attempt and is never longer
/// than `cap`. The pause itself is a random half to all of that ("equal jitter": M. Brooker,
/// "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that many clients that lost
/// one server do not come back at the same moment.
///
/// The default begins at 50 ms and is capped at 5 s.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5))
    }
}

impl Backoff {
    /// A backoff whose longest pause is `first` at first, and later `cap`.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, attempts: 0 }
    }

    /// The pause before the next attempt.
    #[must_use]
    pub fn next_pause(&mut self) -> Duration {
        self.pause_with(fastrand::f64())
    }

    /// The pause before the next attempt, for a random number from 0 to 1.
    fn pause_with(&mut self, random: f64) -> Duration {
        let longest = self.first.saturating_mul(FACTOR.saturating_pow(self.attempts)).min(self.cap);
        self.attempts = self.attempts.saturating_add(1);
        longest.mul_f64(0.5 + random / 2.0)
    }

    /// Begins anew with the first pause, after an attempt that succeeded.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_doubles_up_to_the_cap() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..9).map(|_| backoff.pause_with(1.0).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.pause_with(1.0), Duration::from_millis(50));
    }

    #[test]
    fn a_pause_is_at_least_half_of_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(40));
        assert_eq!(backoff.pause_with(0.0), Duration::from_millis(5));
        assert_eq!(backoff.pause_with(0.5), Duration::from_millis(15));
    }

    #[test]
    fn any_number_of_attempts_stays_at_the_cap() {
        let mut backoff = Backoff { attempts: u32::MAX, ..Backoff::default() };
        assert_eq!(backoff.pause_with(1.0), Duration::from_secs(5));
        assert!(backoff.next_pause() >= Duration::from_millis(2500));
    }
}
