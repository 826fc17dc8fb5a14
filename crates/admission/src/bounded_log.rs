//! When to write a line about something that may happen thousands of times a second: at its first
//! occurrence, and then with a count, at most once in an interval. The last count of a series is
//! told too, to an owner that asks for it from time to time.

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
/// // About once a second:
/// if let Some(count) = log.due(Instant::now()) {
///     println!("refused clients; {count} since the last such line");
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
    /// the line before, this one included. What occurs between two lines is told by the next line.
    pub fn note(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        self.due(now)
    }

    /// The occurrences that no line has told, once their interval has ended: a line is to be
    /// written now. To be asked about once a second, so that the end of a series is told although
    /// the event does not occur again. What is left when the owner ends is not told.
    pub fn due(&mut self, now: Instant) -> Option<u64> {
        let has_ended =
            self.last_line.is_none_or(|last| now.saturating_duration_since(last) >= self.every);
        (self.untold > 0 && has_ended).then(|| {
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
    fn the_end_of_a_series_is_told_once_when_its_interval_has_ended() {
        let mut log = BoundedLog::new(Duration::from_secs(60));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(log.due(at(0)), None, "nothing has occurred");
        assert_eq!([log.note(at(0)), log.note(at(1)), log.note(at(2))], [Some(1), None, None]);
        assert_eq!([log.due(at(59)), log.due(at(60)), log.due(at(61))], [None, Some(2), None]);
        // That was a line: the next interval begins with it.
        assert_eq!([log.note(at(100)), log.due(at(119)), log.due(at(120))], [None, None, Some(1)]);
        assert_eq!(log.due(at(1000)), None);
    }

    #[test]
    fn a_time_before_the_last_line_is_no_reason_for_another_line() {
        let mut log = BoundedLog::new(Duration::from_secs(60));
        let start = Instant::now();
        assert_eq!(log.note(start + Duration::from_secs(5)), Some(1));
        assert_eq!(log.note(start), None);
    }
}
