//! How long new jobs may wait: a burst as long as the configuration says, a queue that stays only a
//! part of that.
//!
//! The idea is that of CoDel (Nichols and Jacobson, RFC 8289): a queue that does not go away within
//! an interval serves nobody, it only makes everyone late. Where more comes than the server takes
//! for good, what is accepted then waits as long as at a busy time, not as long as is just
//! bearable.

use std::time::Duration;

use tokio::time::Instant;

/// A queue stands that has been longer than the target for so long.
const STANDS_AFTER: Duration = Duration::from_secs(1);
/// The target, as a share of the longest wait.
const TARGET: f64 = 0.375;
/// It stands until the wait is below this share of the target.
const GONE_BELOW: f64 = 0.5;

/// Watches the wait. Time comes in as an argument.
#[derive(Debug, Default)]
pub(crate) struct StandingQueue {
    above_since: Option<Instant>,
    stands: bool,
}

impl StandingQueue {
    /// Learns how long a job that comes now would wait, and says how long it may.
    pub(crate) fn limit(&mut self, wait: Duration, max_wait: Duration, now: Instant) -> Duration {
        let target = max_wait.mul_f64(TARGET);
        if wait < target {
            self.above_since = None;
            self.stands &= wait >= target.mul_f64(GONE_BELOW);
        } else {
            let since = *self.above_since.get_or_insert(now);
            self.stands |= now.duration_since(since) >= STANDS_AFTER;
        }
        if self.stands { target } else { max_wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(2);
    const TARGET: Duration = Duration::from_millis(750);

    #[test]
    fn a_burst_may_wait_long_and_a_queue_that_stays_may_not() {
        let (mut queue, begin) = (StandingQueue::default(), Instant::now());
        let mut limit = |wait_ms, at_ms| {
            queue.limit(Duration::from_millis(wait_ms), MAX, begin + Duration::from_millis(at_ms))
        };
        assert_eq!(limit(1900, 0), MAX);
        assert_eq!(limit(1500, 900), MAX, "a burst");
        assert_eq!(limit(500, 950), MAX, "that goes away");
        assert_eq!(limit(1900, 1000), MAX);
        assert_eq!(limit(1900, 2000), TARGET, "it stands");
        assert_eq!(limit(700, 3000), TARGET, "and is as long as it may be");
        assert_eq!(limit(760, 3100), TARGET);
        assert_eq!(limit(300, 4000), MAX, "until it is gone");
    }
}
