//! A fetch lane, as the prefetch sees it.

use tokio::time::Instant;

/// The state of a lane, by how jobs come on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneState {
    /// The queue had a job at once: the lane may be deep.
    Flowing,
    /// Not known, or jobs come one by one.
    Waiting,
    /// The queue was empty: the next FETCH goes out at this time, or when a job has come on any
    /// lane.
    Paused(Instant),
    /// The server refused the FETCH: the next one goes out at this time.
    Refused(Instant),
}

/// A lane with its FETCHes.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// True where the lane is to have a connection.
    pub(super) wanted: bool,
    /// True where the lane has a connection.
    pub(super) connected: bool,
    /// FETCHes in flight, with those that may be sent and have not been yet.
    pub(super) fetches: usize,
    /// FETCHes that may be sent and have not been yet.
    pub(super) granted: usize,
    pub(super) state: LaneState,
    /// When the last answer came.
    pub(super) answered: Option<Instant>,
}

impl Lane {
    /// A lane without a connection, and not wanted yet.
    pub(super) const NEW: Self = Self {
        wanted: false,
        connected: false,
        fetches: 0,
        granted: 0,
        state: LaneState::Waiting,
        answered: None,
    };
}
