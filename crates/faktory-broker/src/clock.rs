//! The clock of the core. The time in which the process stood still (stopped by a signal, its
//! machine paused, its disk slow) is not held against its clients: they may have waited for the
//! broker all that time.

use std::time::{Duration, Instant};

use faktory_wire::Timestamp;

use crate::machine::Now;

/// The longest time between two looks at the clock while the process runs.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The most that counts of the time between two looks. A FETCH that waits is over within this time.
const GAP_MAX: Duration = Duration::from_secs(5);

/// The wall clock, and a monotonic clock that leaves out the time in which the process stood still.
pub(crate) struct Clock {
    source: Box<dyn Fn() -> Now + Send>,
    last: Duration,
    stood_still: Duration,
}

impl Clock {
    /// The clock of the system.
    pub(crate) fn system() -> Self {
        let started = Instant::now();
        Self::new(move || Now { wall: Timestamp::now(), monotonic: started.elapsed() })
    }

    /// A clock above `source`, which tells the times of the system.
    pub(crate) fn new(source: impl Fn() -> Now + Send + 'static) -> Self {
        let last = source().monotonic;
        Self { source: Box::new(source), last, stood_still: Duration::ZERO }
    }

    pub(crate) fn now(&mut self) -> Now {
        let Now { wall, monotonic } = (self.source)();
        let gap = monotonic.saturating_sub(self.last);
        self.stood_still += gap.saturating_sub(GAP_MAX);
        self.last = monotonic;
        Now { wall, monotonic: monotonic.saturating_sub(self.stood_still) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn of_a_long_gap_only_the_beginning_counts() {
        let seconds = Arc::new(AtomicU64::new(100));
        let source = Arc::clone(&seconds);
        let mut clock = Clock::new(move || Now {
            wall: Timestamp::default(),
            monotonic: Duration::from_secs(source.load(Ordering::SeqCst)),
        });
        for (system, counted) in [(100, 100), (104, 104), (174, 109), (175, 110), (3775, 115)] {
            seconds.store(system, Ordering::SeqCst);
            assert_eq!(clock.now().monotonic, Duration::from_secs(counted), "{system}");
        }
    }
}
