//! How long to wait between two attempts.

use std::time::{Duration, Instant};

/// The first pause, doubled each time.
const FIRST: Duration = Duration::from_millis(100);
/// The longest of our own choosing.
const LONGEST: Duration = Duration::from_secs(10);

/// How often and how long one call goes on.
pub(crate) struct Patience {
    attempt: u32,
    attempts: u32,
    ends: Instant,
}

impl Patience {
    pub(crate) fn new(attempts: u32, give_up_after: Duration) -> Self {
        Self { attempt: 1, attempts, ends: Instant::now() + give_up_after }
    }

    /// The pause before the next attempt; `None` where there is to be none, or the server asks for
    /// a longer pause than there is time.
    pub(crate) fn next_pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.attempt >= self.attempts {
            return None;
        }
        let pause = pause(self.attempt, asked);
        self.attempt += 1;
        (Instant::now() + pause < self.ends).then_some(pause)
    }
}

/// What the server asked for and up to a quarter more, never less; else exponential with full
/// jitter over its upper half, so that many clients do not come back at once.
fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    let base = match asked {
        // Hours are longer than anybody's patience here.
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
    fn pauses_grow_up_to_a_bound_and_follow_the_server() {
        for attempt in 1..60 {
            let pause = pause(attempt, None);
            assert!(pause >= FIRST / 2 && pause <= LONGEST, "{pause:?}");
        }
        assert!(pause(1, None) <= FIRST && pause(30, None) >= LONGEST / 2);
        let asked = pause(1, Some(Duration::from_secs(2)));
        assert!(asked >= Duration::from_secs(2) && asked <= Duration::from_millis(2500));
    }

    #[test]
    fn patience_ends_by_count_by_time_and_where_the_server_asks_for_more_than_there_is() {
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
