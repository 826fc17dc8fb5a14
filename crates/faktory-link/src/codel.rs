//! CoDel for the queue of jobs: the bound of the wait that a new push is admitted with.
//!
//! The idea is that of Nichols and Jacobson ("Controlled Delay", RFC 8289): a queue that does not
//! drain within an interval serves nobody, because each entry is only late. A short burst may
//! therefore wait as long as the configuration says, while a standing queue is kept at a part of
//! that. Where more jobs arrive than the work server takes, an accepted job then waits as long as
//! at a busy time, and not as long as is just bearable.

use std::time::Duration;

use tokio::time::Instant;

/// Time above the target after which a queue is a standing queue.
const INTERVAL: Duration = Duration::from_secs(1);
/// The target, as a share of the longest wait that the configuration allows.
const TARGET: f64 = 0.375;
/// A standing queue has drained where the wait is below this share of the target.
const DRAINED_BELOW: f64 = 0.5;

/// The state of CoDel: since when the wait is above the target, and whether the queue is a standing
/// queue. Time comes in as an argument.
#[derive(Debug, Default)]
pub(crate) struct Codel {
    above_since: Option<Instant>,
    /// When the wait was looked at last.
    looked: Option<Instant>,
    is_standing: bool,
}

impl Codel {
    /// Takes in the wait that a new push would have, and returns the longest wait with which a new
    /// push is admitted: `max_wait`, or the target while the queue is a standing queue.
    pub(crate) fn limit(&mut self, wait: Duration, max_wait: Duration, now: Instant) -> Duration {
        let target = max_wait.mul_f64(TARGET);
        // Where nobody has looked for a whole interval, nothing is known of it: this process may
        // have been stopped.
        if self.looked.replace(now).is_none_or(|last| now.duration_since(last) > INTERVAL) {
            self.above_since = None;
        }
        if wait < target {
            self.above_since = None;
            self.is_standing &= wait >= target.mul_f64(DRAINED_BELOW);
        } else {
            let since = *self.above_since.get_or_insert(now);
            self.is_standing |= now.duration_since(since) >= INTERVAL;
        }
        if self.is_standing { target } else { max_wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(2);
    const TARGET: Duration = Duration::from_millis(750);

    #[test]
    fn a_burst_may_wait_long_and_a_standing_queue_may_not() {
        let (mut codel, begin) = (Codel::default(), Instant::now());
        let mut limit = |wait_ms, at_ms| {
            codel.limit(Duration::from_millis(wait_ms), MAX, begin + Duration::from_millis(at_ms))
        };
        assert_eq!(limit(1900, 0), MAX);
        assert_eq!(limit(1500, 900), MAX, "a burst");
        assert_eq!(limit(500, 950), MAX, "the burst has drained");
        assert_eq!(limit(1900, 1000), MAX);
        assert_eq!(limit(1900, 2000), TARGET, "above the target for a whole interval");
        assert_eq!(limit(700, 3000), TARGET, "below the target, but not drained");
        assert_eq!(limit(760, 3100), TARGET);
        assert_eq!(limit(300, 4000), MAX, "drained");
        assert_eq!(limit(1900, 4100), MAX);
        assert_eq!(limit(1900, 74_100), MAX, "nobody has looked meanwhile");
        assert_eq!(limit(1900, 75_100), TARGET, "the whole interval was looked at");
    }
}
