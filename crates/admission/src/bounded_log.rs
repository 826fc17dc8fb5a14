//! When to write a line about something that may happen thousands of times a second: at its first
//! occurrence, and then with a count, at most once in an interval.

use std::time::{Duration, Instant};

/// Decides which occurrences of one event get a line in the log. It writes nothing itself.
///
/// ```
/// use std::time::{Duration, Instant};
/// # use admission::BoundedLog;
///
/// let mut log = BoundedLog::new(Duration::from_secs(60));
/// if let Some(count) = log.note(Instant::now()) {
///     println!("refused a client; {count} since the last such line");
/// }
/// ```
#[derive(Debug, Clone)]
pub struct BoundedLog {
    every: Duration,
    last_line: Option<Instant>,
    /// Occurrences that no line has told yet.
    untold: u64,
}

impl BoundedLog {
    /// At most one line in each interval of this length.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self { every, last_line: None, untold: 0 }
    }

    /// Notes one occurrence. `Some` where a line is to be written now, with the occurrences since
    /// the line before, this one included. What occurs between two lines is told by the next line,
    /// and so is the end of a series once the event occurs again.
    pub fn note(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        let is_due =
            self.last_line.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        is_due.then(|| {
            self.last_line = Some(now);
            std::mem::take(&mut self.untold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occurrence_is_told_at_once_and_later_ones_as_a_count_in_each_interval() {
        let mut log = BoundedLog::new(Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(log.note(at(0)), Some(1));
        for second in 1..60 {
            assert_eq!(log.note(at(second)), None);
        }
        assert_eq!(log.note(at(60)), Some(60));
        assert_eq!(log.note(at(61)), None);
        assert_eq!(log.note(at(1000)), Some(2));
        assert_eq!(log.note(at(2000)), Some(1));
    }

    #[test]
    fn a_time_before_the_last_line_is_no_reason_for_another_line() {
        let mut log = BoundedLog::new(Duration::from_secs(60));
        let start = Instant::now();
        assert_eq!(log.note(start + Duration::from_secs(5)), Some(1));
        assert_eq!(log.note(start), None);
    }
}
