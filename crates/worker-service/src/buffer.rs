//! The buffer: jobs that were fetched and wait for a slot.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A fetched job as it came.
#[derive(Debug)]
pub(crate) struct Buffered {
    /// The job's JSON.
    pub(crate) body: Bytes,
    /// When the job came. Its reservation began half a round trip before.
    pub(crate) came: Instant,
}

/// The waiting jobs: first in, first out.
#[derive(Debug)]
pub(crate) struct Buffer {
    jobs: Mutex<VecDeque<Buffered>>,
    /// A permit for each job, and one for each slot once no more jobs come.
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

    /// Puts jobs in, and wakes as many slots.
    pub(crate) fn add(&self, jobs: impl ExactSizeIterator<Item = Buffered>) {
        let count = jobs.len();
        self.jobs().extend(jobs);
        self.ready.add_permits(count);
    }

    /// The next job; `None` once the buffer is closed and empty. Cancel safe.
    pub(crate) async fn next(&self) -> Option<Buffered> {
        loop {
            self.ready.acquire().await.ok()?.forget();
            if let Some(job) = self.jobs().pop_front() {
                return Some(job);
            }
            // The job was requeued, or the buffer is closed.
            if self.is_closed.load(Ordering::Acquire) {
                return None;
            }
        }
    }

    /// True where the first job came before this.
    pub(crate) fn is_older_than(&self, came: Instant) -> bool {
        self.jobs().front().is_some_and(|job| job.came < came)
    }

    /// Takes the first job out.
    pub(crate) fn take(&self) -> Option<Buffered> {
        self.jobs().pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs().len()
    }

    /// Closes the buffer: each of the slots ends once it finds no job.
    pub(crate) fn close(&self, slots: usize) {
        self.is_closed.store(true, Ordering::Release);
        self.ready.add_permits(slots);
    }
}
