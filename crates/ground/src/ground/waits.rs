//! How long commits have waited for the sorted files, and when that is worth a line in the log.

use std::time::{Duration, Instant};

/// Waits are worth a line when they come to so much within [`EVERY`].
const WORTH: Duration = Duration::from_secs(1);
/// The shortest time between two lines.
const EVERY: Duration = Duration::from_secs(60);

/// The waits since the last line.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// When the first of the waits that count began.
    since: Option<Instant>,
    waited: Duration,
    last_line: Option<Instant>,
}

impl Waits {
    /// Notes that a commit waited from one moment to another; how long commits have waited in all,
    /// where a line is due.
    pub(super) fn note(&mut self, from: Instant, to: Instant) -> Option<Duration> {
        let is_long_ago = |since: Instant| from.saturating_duration_since(since) >= EVERY;
        if self.since.is_none_or(is_long_ago) {
            (self.since, self.waited) = (Some(from), Duration::ZERO);
        }
        self.waited += to.saturating_duration_since(from);
        let is_early =
            self.last_line.is_some_and(|last| to.saturating_duration_since(last) < EVERY);
        if self.waited < WORTH || is_early {
            return None;
        }
        (self.since, self.last_line) = (None, Some(to));
        Some(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_when_waits_come_to_a_second_and_again_after_a_minute() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut waits = Waits::default();
        let mut wait = |from, to| waits.note(at(from), at(to)).map(|waited| waited.as_millis());
        // One wait, told while it lasts.
        assert_eq!(wait(0, 999), None);
        assert_eq!(wait(999, 1100), Some(1100));
        assert_eq!(wait(1100, 9000), None);
        assert_eq!(wait(9000, 61_099), None);
        assert_eq!(wait(61_099, 61_101), Some(60_001));
        // Several short ones.
        assert_eq!(wait(150_000, 150_600), None);
        assert_eq!(wait(160_000, 160_600), Some(1200));
        // Such as lie far from each other are worth none.
        assert_eq!(wait(300_000, 300_600), None);
        assert_eq!(wait(400_000, 400_600), None);
    }
}
