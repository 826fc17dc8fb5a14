//! The observer of a link, for metrics.

use std::fmt::Debug;
use std::time::Duration;

/// An observer of the events on a link. The link's tasks call the observer, so an observer must
/// neither block nor panic.
pub trait Observer: Debug + Send + Sync {
    /// Called when the server has answered a push.
    fn command_answered(&self, times: &CommandTimes);
}

/// The parts of the time that one answered push took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandTimes {
    /// Jobs in the push.
    pub jobs: usize,
    /// Bytes of the push on the wire.
    pub bytes: usize,
    /// From the arrival of the first job until a connection was free.
    pub waited: Duration,
    /// On the network, both ways: the shortest round trip of a TCP handshake (which slowly gives
    /// way to longer ones), or less.
    pub on_the_way: Duration,
    /// The rest: in the server, and in the further round trips that the size of the push takes.
    pub in_server: Duration,
}
