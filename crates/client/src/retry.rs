//! The pauses between attempts, and their end.

use std::time::{Duration, Instant};

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause, unless the API asks for more.
const LONGEST: Duration = Duration::from_secs(10);

/// The bounds of one call: attempts and time. The time runs on while this process is stopped: it is
/// the caller's patience, and whoever waits for the caller has waited as long. It only keeps
/// further attempts from beginning, and judges nobody's silence.
pub(crate) struct Patience {
    attempt: u32,
    attempts: u32,
    ends: Instant,
}

impl Patience {
    pub(crate) fn new(attempts: u32, give_up_after: Duration) -> Self {
        Self { attempt: 1, attempts, ends: Instant::now() + give_up_after }
    }

    /// The pause before the next attempt; `None` where no attempt is left, or the pause would
    /// outlast the time.
    pub(crate) fn next_pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.attempt >= self.attempts {
            return None;
        }
        let pause = pause(self.attempt, asked);
        self.attempt += 1;
        (Instant::now() + pause < self.ends).then_some(pause)
    }
}

/// A pause: the one that the API asked for and up to a quarter more, never less; otherwise an
/// exponential one with jitter over its upper half, so that many clients do not return together.
fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    let base = match asked {
        // Bounded, so that the product fits. A call gives up long before.
        Some(asked) => {
            return asked.min(Duration::from_secs(86_400)).mul_f64(1.0 + fastrand::f64() / 4.0);
        }
        None => FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LONGEST),
    };
    base.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_follow_retry_after() {
        for attempt in 1..60 {
            let pause = pause(attempt, None);
            assert!(pause >= FIRST / 2 && pause <= LONGEST, "{pause:?}");
        }
        assert!(pause(1, None) <= FIRST && pause(30, None) >= LONGEST / 2);
        let asked = pause(1, Some(Duration::from_secs(2)));
        assert!(asked >= Duration::from_secs(2) && asked <= Duration::from_millis(2500));
    }

    #[test]
    fn attempts_end_by_their_number_by_time_and_where_retry_after_outlasts_the_time() {
        let mut patience = Patience::new(3, Duration::from_secs(60));
        assert!(patience.next_pause(None).is_some() && patience.next_pause(None).is_some());
        assert_eq!(patience.next_pause(None), None);
        assert_eq!(
            Patience::new(3, Duration::from_secs(60)).next_pause(Some(Duration::from_secs(3600))),
            None
        );
        assert_eq!(Patience::new(3, Duration::ZERO).next_pause(None), None);
    }
}
