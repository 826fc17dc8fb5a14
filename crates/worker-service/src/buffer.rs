//! Jobs that were fetched and wait for a place to run.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A job as it came.
#[derive(Debug)]
pub(crate) struct Buffered {
    /// Its JSON.
    pub(crate) body: Bytes,
    /// When it came. Its reservation began half a round trip before.
    pub(crate) came: Instant,
}

/// First in, first out.
#[derive(Debug)]
pub(crate) struct Buffer {
    jobs: Mutex<VecDeque<Buffered>>,
    /// A permit for each job, and one for each place once no more come.
    ready: Semaphore,
    is_closed: AtomicBool,
}

impl Buffer {
    pub(crate) const fn new() -> Self {
        Self {
            jobs: Mutex::new(VecDeque::new()),
            ready: Semaphore::const_new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, VecDeque<Buffered>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts jobs in, and wakes as many places.
    pub(crate) fn add(&self, jobs: impl ExactSizeIterator<Item = Buffered>) {
        let count = jobs.len();
        self.jobs().extend(jobs);
        self.ready.add_permits(count);
    }

    /// The next job; `None` once it is closed and empty. Cancel safe.
    pub(crate) async fn next(&self) -> Option<Buffered> {
        loop {
            self.ready.acquire().await.ok()?.forget();
            if let Some(job) = self.jobs().pop_front() {
                return Some(job);
            }
            // Taken out by somebody else, or the end.
            if self.is_closed.load(Ordering::Acquire) {
                return None;
            }
        }
    }

    /// Whether the first came before this.
    pub(crate) fn is_older_than(&self, came: Instant) -> bool {
        self.jobs().front().is_some_and(|job| job.came < came)
    }

    /// Takes the first out.
    pub(crate) fn take(&self) -> Option<Buffered> {
        self.jobs().pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs().len()
    }

    /// Nothing more comes: each of so many places ends once it finds nothing.
    pub(crate) fn close(&self, places: usize) {
        self.is_closed.store(true, Ordering::Release);
        self.ready.add_permits(places);
    }
}
