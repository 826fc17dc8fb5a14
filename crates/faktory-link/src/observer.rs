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
    /// Callers' parts in it: more than one where callers were put together.
    pub parts: usize,
    /// Its bytes on the wire.
    pub bytes: usize,
    /// From the first part's coming to when a connection was free for it.
    pub waited: Duration,
    /// On the way there and back: the round trip of that connection's TCP handshake, or less.
    pub on_the_way: Duration,
    /// The rest: written bit by bit over the round trips that its size takes, and in the server.
    pub in_server: Duration,
}
