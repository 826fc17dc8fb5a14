//! Requests of a load: each posts the jobs with the next numbers.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::part::poster::{Posted, Poster};

/// Posts batches of jobs, and gives each job a number of its own.
pub(super) struct Requests {
    poster: Poster,
    next: AtomicU64,
    batch: u64,
}

impl Requests {
    pub(super) const fn new(poster: Poster, batch: u64) -> Self {
        Self { poster, next: AtomicU64::new(0), batch }
    }

    /// The number of jobs in each request.
    pub(super) const fn batch(&self) -> u64 {
        self.batch
    }

    /// The number of jobs that have a number so far.
    pub(super) fn numbered(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Makes one request; `intended_us` is its intended time.
    pub(super) async fn post(&self, intended_us: u64) -> Posted {
        self.poster.post(self.take(), intended_us).await
    }

    /// Posts this many jobs, numbered from 0, as one stream.
    pub(super) async fn stream(
        &self,
        count: u64,
        each: &mut impl FnMut(Posted),
    ) -> Result<(), String> {
        self.next.store(count, Ordering::Relaxed);
        self.poster.stream(0..count, each).await
    }

    fn take(&self) -> Range<u64> {
        let first = self.next.fetch_add(self.batch, Ordering::Relaxed);
        first..first + self.batch
    }
}
