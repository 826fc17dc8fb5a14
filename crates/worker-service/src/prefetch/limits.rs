//! The bounds of what a worker fetches.

use std::time::Duration;

/// The longest that Faktory takes to answer a FETCH on an empty queue (measured: 2.0 to 2.1 s).
pub(super) const EMPTY_FETCH: Duration = Duration::from_millis(2100);

/// Numbers that may not be exceeded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Jobs run at once.
    pub(crate) concurrency: usize,
    /// Jobs fetched, or asked for, and not running.
    pub(crate) prefetch: usize,
    /// Lanes.
    pub(crate) lanes: usize,
    /// FETCHes on one lane.
    pub(crate) depth: usize,
}

impl Limits {
    /// The greatest depth of a lane for which all FETCHes on it are answered within `time`, even
    /// where the queue is empty.
    pub(crate) fn depth_within(time: Duration) -> usize {
        ((time.as_secs_f64() / EMPTY_FETCH.as_secs_f64()) as usize).max(1)
    }
}
