//! The window of a connection: how much a client may have unanswered. A client that sends commands
//! and reads no replies is read no further once its window is full.

use std::sync::Arc;

use faktory_wire::{Command, CommandError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The size of a window, in units of cost; every command costs at least 1.
const SIZE: u32 = 1024;
/// A command costs 1 more for this many bytes.
const BYTES_OF_COST: usize = 64 << 10;
/// The cost of a command whose reply can be large.
const LARGE_REPLY_COST: u32 = 8;

/// A command costs 1 more for this many names of queues.
const NAMES_OF_COST: usize = 16;

/// Replies that a connection may have waiting for its writer: one for each command in the window,
/// and some that belong to no command or end the connection.
pub(super) const REPLIES_MAX: usize = SIZE as usize + 8;

/// The side of a window that takes room for commands. Permits travel to the writer in the order of
/// the commands, and are released when the replies have been written.
pub(super) struct Window {
    room: Arc<Semaphore>,
    unanswered: mpsc::Sender<OwnedSemaphorePermit>,
}

/// The side of a window that gives room back.
pub(super) struct Answered(mpsc::Receiver<OwnedSemaphorePermit>);

/// The window is gone, because the connection ends.
pub(super) struct WindowClosed;

pub(super) fn window() -> (Window, Answered) {
    let (unanswered, answered) = mpsc::channel(SIZE as usize);
    (Window { room: Arc::new(Semaphore::new(SIZE as usize)), unanswered }, Answered(answered))
}

impl Window {
    /// Waits until the window has room for a command.
    pub(super) async fn enter(&self, cost: u32) -> Result<(), WindowClosed> {
        let permit = Arc::clone(&self.room).acquire_many_owned(cost).await;
        let permit = permit.map_err(|_| WindowClosed)?;
        self.unanswered.send(permit).await.map_err(|_| WindowClosed)
    }
}

impl Answered {
    /// The permit of the next command; `None` for a reply that answers no command of the window.
    pub(super) fn next(&mut self) -> Option<OwnedSemaphorePermit> {
        self.0.try_recv().ok()
    }
}

/// The room that a command takes in its window. A command that is larger than the window takes the
/// whole window.
pub(super) fn cost(line_bytes: usize, request: &Result<Command, CommandError>) -> u32 {
    let has_large_reply =
        matches!(request, Ok(Command::Fetch(_) | Command::Info | Command::Queue(_)));
    let for_reply = if has_large_reply { LARGE_REPLY_COST } else { 1 };
    let names = match request {
        Ok(Command::Fetch(names)) => names.len(),
        Ok(Command::Queue(command)) => command.names().len(),
        _ => 0,
    };
    let for_names = u32::try_from(names / NAMES_OF_COST).unwrap_or(SIZE);
    let for_bytes = u32::try_from(line_bytes / BYTES_OF_COST).unwrap_or(SIZE);
    for_bytes.saturating_add(for_reply).saturating_add(for_names).min(SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_costs_by_its_bytes_and_by_the_size_of_its_reply() {
        let cost_of = |bytes, line: &str| cost(bytes, &Command::parse(line.as_bytes()));
        assert_eq!(cost_of(20, r#"ACK {"jid":"x"}"#), 1);
        assert_eq!(cost_of(20, "no command"), 1);
        assert_eq!(cost_of(20, "FETCH default"), 8);
        assert_eq!(cost_of(4, "INFO"), 8);
        assert_eq!(cost_of(20, &format!("FETCH{}", " q".repeat(1000))), 8 + 62);
        assert_eq!(cost_of(20, &format!("QUEUE REMOVE{}", " q".repeat(160))), 8 + 10);
        assert_eq!(cost_of(3 * BYTES_OF_COST, "PUSHB []"), 4);
        assert_eq!(cost_of(usize::MAX, "PUSHB []"), SIZE);
    }

    #[tokio::test]
    async fn a_full_window_lets_a_command_in_once_a_reply_was_written() {
        let (window, mut answered) = window();
        assert!(window.enter(SIZE).await.is_ok());
        let mut waiting = std::pin::pin!(window.enter(1));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the window is full"),
            () = std::future::ready(()) => {}
        }
        drop(answered.next());
        assert!(waiting.await.is_ok());
    }
}
