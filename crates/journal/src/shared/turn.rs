//! What one thread does at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A right that one thread has at a time; the others wait.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    taken: Mutex<()>,
    waiting: AtomicUsize,
}

impl Turn {
    pub(crate) fn take(&self) -> MutexGuard<'_, ()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let turn = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        turn
    }

    /// How many wait, or are about to take it.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}
