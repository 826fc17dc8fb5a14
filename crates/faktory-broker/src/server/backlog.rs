//! Whether all connections have been accepted that waited when the core asked (`catch_up.rs`). The
//! system is asked, not the runtime, whose word may be older; and connections that came later need
//! not be accepted first, so that nobody who connects all the time holds up the answer.

use tokio::net::TcpListener;

/// The most connections that wait to be accepted: Linux lets one more wait than it is asked for.
const BACKLOG_MAX: usize = listener::BACKLOG as usize + 1;

/// The round that the listener answers.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    round: u64,
    /// The connections that were accepted since the round is known.
    accepted: usize,
}

impl Backlog {
    /// Notes a connection that was accepted.
    pub(super) const fn note_accepted(&mut self) {
        self.accepted = self.accepted.saturating_add(1);
    }

    /// True where no connection waits that waited when this round began.
    pub(super) fn is_accepted(&mut self, round: u64, listener: &TcpListener) -> bool {
        if self.round != round {
            *self = Self { round, accepted: 0 };
        }
        self.accepted >= BACKLOG_MAX || !has_waiting(listener)
    }
}

/// True where a connection waits to be accepted, whatever the runtime knows of it. False where the
/// system does not say: its clients connect again.
#[cfg(unix)]
fn has_waiting(listener: &TcpListener) -> bool {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let mut descriptors = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

#[cfg(not(unix))]
fn has_waiting(_: &TcpListener) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_round_is_answered_once_none_waits_or_as_many_were_accepted_as_can_have_waited() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut backlog = Backlog::default();
        assert!(backlog.is_accepted(1, &listener));
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!backlog.is_accepted(1, &listener));
        for _ in 0..BACKLOG_MAX {
            backlog.note_accepted();
        }
        assert!(backlog.is_accepted(1, &listener), "it came later");
        assert!(!backlog.is_accepted(2, &listener));
        let _accepted = listener.accept().await.unwrap();
        assert!(backlog.is_accepted(2, &listener));
    }
}
