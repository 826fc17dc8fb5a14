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
    /// The server takes one command for many jobs.
    pub(super) takes_many: bool,
    /// Jobs that are asked for in flight, with those that may be asked for and have not been yet.
    pub(super) fetches: usize,
    /// Jobs that may be asked for and have not been yet.
    pub(super) granted: usize,
    /// Commands in flight, where the server takes one for many jobs.
    pub(super) commands: usize,
    pub(super) state: LaneState,
    /// When the last answer came.
    pub(super) answered: Option<Instant>,
}

impl Lane {
    /// A lane without a connection, and not wanted yet.
    pub(super) const NEW: Self = Self {
        wanted: false,
        connected: false,
        takes_many: false,
        fetches: 0,
        granted: 0,
        commands: 0,
        state: LaneState::Waiting,
        answered: None,
    };

    /// Jobs that may be in flight on the lane, where `depth` commands may be. Of many jobs those
    /// that have not been sent yet go out in one command.
    pub(super) const fn most(&self, depth: usize) -> usize {
        match self.state {
            LaneState::Flowing if !self.takes_many => depth,
            LaneState::Flowing if self.commands < depth => usize::MAX,
            LaneState::Flowing => 0,
            LaneState::Waiting => 1,
            LaneState::Paused(_) | LaneState::Refused(_) => 0,
        }
    }
}
