//! The measured time of a raw load, and the jobs that are left to it.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::Notify;

/// Shared by all connections of a load. Times are those of the monotonic clock, in microseconds.
pub(super) struct Window {
    from: u64,
    to: Cell<u64>,
    /// Jobs that may still be pushed or fetched.
    left: Cell<u64>,
    ran_out: Cell<bool>,
    /// Is told when the jobs run out before the time.
    ended: Arc<Notify>,
}

impl Window {
    pub(super) const fn new(from: u64, to: u64, most: u64, ended: Arc<Notify>) -> Self {
        Self { from, to: Cell::new(to), left: Cell::new(most), ran_out: Cell::new(false), ended }
    }

    /// The number of commands, up to `wanted`, that may be sent now. Each takes `jobs` jobs. The
    /// measured time ends when the jobs have run out, because the load is full only until then.
    pub(super) fn grant(&self, wanted: usize, jobs: u64, now: u64) -> usize {
        if now >= self.to.get() {
            return 0;
        }
        let possible = usize::try_from(self.left.get() / jobs).unwrap_or(usize::MAX);
        let granted = wanted.min(possible);
        self.left.set(self.left.get() - granted as u64 * jobs);
        if granted < wanted {
            self.ran_out.set(true);
            self.to.set(now);
            self.ended.notify_one();
        }
        granted
    }

    pub(super) fn contains(&self, now: u64) -> bool {
        (self.from..self.to.get()).contains(&now)
    }

    /// The length of the measured time.
    pub(super) fn seconds(&self) -> f64 {
        self.to.get().saturating_sub(self.from) as f64 / 1e6
    }

    /// Whether the jobs ran out before the time.
    pub(super) fn ran_out(&self) -> bool {
        self.ran_out.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_ends_with_the_last_job() {
        let window = Window::new(10, 100, 5, Arc::default());
        assert_eq!(window.grant(2, 2, 5), 2);
        assert!(!window.contains(9) && window.contains(10) && window.contains(99));
        assert!(!window.contains(100));
        assert_eq!(window.grant(3, 1, 50), 1, "one job is left");
        assert!(window.ran_out() && !window.contains(50));
        assert_eq!(window.grant(1, 1, 51), 0);
        assert!((window.seconds() - 40e-6).abs() < 1e-12);
    }

    #[test]
    fn after_its_time_a_load_sends_nothing() {
        let window = Window::new(10, 100, u64::MAX, Arc::default());
        assert_eq!((window.grant(16, 1000, 99), window.grant(16, 1000, 100)), (16, 0));
        assert!(!window.ran_out());
    }
}
