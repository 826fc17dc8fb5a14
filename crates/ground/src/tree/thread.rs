//! The thread that writes the files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::Disk;

use super::{State, Tree};
use crate::error::GroundError;

/// The longest time between two looks at what there is to do.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The time between the first two tries of what failed; each pause is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The time between two looks for the ballast, while there is nothing else to do.
const BALLAST_EVERY: Duration = Duration::from_secs(10);

/// Tries of what may fail.
#[derive(Debug, Default)]
struct Tries {
    failures: u32,
    next: Option<Instant>,
}

/// The pause after so many failures.
fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(PAUSE_MAX)
}

impl Tries {
    fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// False where it failed, or there was nothing to do.
    fn note(&mut self, result: &Result<bool, GroundError>) -> bool {
        match result {
            Ok(worked) => {
                *self = Self::default();
                *worked
            }
            Err(_) => {
                self.failures += 1;
                self.next = Some(Instant::now() + pause(self.failures));
                false
            }
        }
    }
}

impl<D: Disk> Tree<D> {
    /// Works until it is closed. What fails is tried again after a pause.
    pub(crate) fn run(&self) {
        let (mut saving, mut merging) = (Tries::default(), Tries::default());
        let mut next_ballast = Instant::now() + BALLAST_EVERY;
        loop {
            let now = Instant::now();
            let mut has_worked = saving.is_due(now) && saving.note(&self.save());
            if !has_worked && saving.failures == 0 && merging.is_due(now) {
                has_worked = merging.note(&self.compact());
            }
            if !has_worked && saving.failures == 0 && next_ballast <= now {
                self.make_ballast();
                next_ballast = Instant::now() + BALLAST_EVERY;
            }
            self.done.notify_all();
            let state = self.lock();
            if state.is_closing {
                return;
            }
            if !has_worked {
                // A call that comes before the wait is missed by it, so the wait is short.
                drop(self.to_work.wait_timeout(state, LOOK_EVERY));
            }
        }
    }

    /// Says that there may be something to do.
    pub(crate) fn call(&self) {
        self.to_work.notify_one();
    }

    /// Waits until something was done, or failed, or a short time has passed.
    pub(crate) fn wait(&self) {
        let state = self.lock();
        drop(self.done.wait_timeout(state, LOOK_EVERY));
    }

    /// Ends the thread. A merge that is under way is left.
    pub(crate) fn end(&self) {
        self.lock().is_closing = true;
        self.call();
    }

    /// Notes how a piece of work has ended. Where trouble begins or ends, somebody is woken.
    pub(super) fn note(
        &self,
        result: &Result<bool, GroundError>,
        of: fn(&mut State<D::File>) -> &mut Option<Arc<str>>,
    ) {
        let mut state = self.lock();
        let trouble = of(&mut state);
        let had = trouble.is_some();
        match result {
            Ok(_) => *trouble = None,
            Err(error) => {
                if !had {
                    tracing::warn!(%error, "the store can't write its files; it tries again");
                }
                *trouble = Some(error.to_string().into());
            }
        }
        drop(state);
        if had == result.is_ok() {
            (self.wake)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_tried_again_after_ever_longer_pauses() {
        let seconds = [1, 2, 3, 5, 6, 100].map(|failures| pause(failures).as_secs());
        assert_eq!(seconds, [1, 2, 4, 16, 30, 30]);
        let mut tries = Tries::default();
        assert!(tries.is_due(Instant::now()));
        let failed = || Err(GroundError::damaged("file", "is bad"));
        assert!(!tries.note(&failed()) && !tries.note(&failed()));
        assert!(!tries.is_due(Instant::now()));
        assert!(tries.is_due(Instant::now() + pause(2)));
        assert!(!tries.note(&Ok(false)) && tries.is_due(Instant::now()));
        assert!(tries.note(&Ok(true)));
    }
}
