//! What a link tells about itself, for metrics.

use std::fmt::Debug;
use std::time::Duration;

/// Told what happens on a link. Called from its tasks, so it must neither block nor panic.
pub trait Observer: Debug + Send + Sync {
    /// A push was answered.
    fn command_answered(&self, times: &CommandTimes);
}

/// One push that was answered, and where its time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandTimes {
    /// Jobs in it.
    pub jobs: usize,
    /// Its bytes on the wire.
    pub bytes: usize,
    /// From the first part's coming to when a connection was free for it.
    pub waited: Duration,
    /// On the way there and back: the shortest round trip of a TCP handshake of late, or less.
    pub on_the_way: Duration,
    /// The rest: written bit by bit over the round trips that its size takes, and in the server.
    pub in_server: Duration,
}
