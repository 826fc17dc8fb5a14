//! The state of a connection that its handle and its driver share, and the writes that the handle
//! hands to the driver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use faktory_wire::Reply;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::config::LinkConfig;
use crate::error::{LinkError, Lost};

/// Lines that are written together, with no other line in between.
#[derive(Debug)]
pub(super) struct LineGroup {
    pub(super) lines: Vec<Line>,
    /// Told when the system has taken all of the lines.
    pub(super) written: oneshot::Sender<()>,
}

/// One command as a line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    pub(super) reply: oneshot::Sender<Result<Reply, Lost>>,
    pub(super) window: Option<WindowPermit>,
}

/// A permit of the window, in commands and in bytes. The window bounds the commands in flight.
pub(super) type WindowPermit = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// The shared state of one connection.
#[derive(Debug)]
pub(super) struct State {
    /// Commands that may still be sent without a reply.
    window: Arc<Semaphore>,
    /// Bytes that may still be sent without a reply.
    window_bytes: Arc<Semaphore>,
    window_max: u32,
    window_bytes_max: u32,
    in_flight: Mutex<InFlight>,
    /// Notified when a command was sent, so that there is a reply to wait for.
    pub(super) sent: Notify,
    /// Notified when nothing is in flight any more.
    pub(super) idle: Notify,
    /// Notified when the connection has ended.
    pub(super) has_ended: Notify,
    /// The cause of the end.
    pub(super) ended: OnceLock<Arc<LinkError>>,
    /// Notified when the driver is to end the connection, for the cause in `ended`.
    pub(super) given_up: Notify,
    /// The duration of TCP's handshake.
    pub(super) distance: Duration,
}

/// The commands that the writer has taken up, oldest first.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    pub(super) waiters: VecDeque<Waiter>,
    /// Bytes that the system has taken since the connection began.
    pub(super) written: u64,
}

/// A caller that waits for the reply to a command.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) reply: oneshot::Sender<Result<Reply, Lost>>,
    /// Where the command ends in the stream of bytes.
    pub(super) end: u64,
    /// When the wait for the reply began: a reply is due once no other is due before it.
    pub(super) since: Instant,
    pub(super) _window: Option<WindowPermit>,
}

impl State {
    pub(super) fn new(config: &LinkConfig, distance: Duration) -> Self {
        Self {
            window: Arc::new(Semaphore::new(config.window_commands.max(1) as usize)),
            window_bytes: Arc::new(Semaphore::new(config.window_bytes.max(1) as usize)),
            window_max: config.window_commands.max(1),
            window_bytes_max: config.window_bytes.max(1),
            in_flight: Mutex::default(),
            sent: Notify::new(),
            idle: Notify::new(),
            has_ended: Notify::new(),
            ended: OnceLock::new(),
            given_up: Notify::new(),
            distance,
        }
    }

    pub(super) fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        // No code that could panic half way holds the lock, so its data is sound.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit of the window; `None` where the connection has ended.
    pub(super) async fn acquire_window(&self, lines: usize, bytes: usize) -> Option<WindowPermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.window_bytes_max);
        let lines = u32::try_from(lines).unwrap_or(u32::MAX).min(self.window_max);
        let bytes = Arc::clone(&self.window_bytes).acquire_many_owned(bytes).await.ok()?;
        let lines = Arc::clone(&self.window).acquire_many_owned(lines).await.ok()?;
        Some((lines, bytes))
    }

    /// The loss of a command, for the cause that has ended the connection.
    pub(super) fn lost(&self, sent: bool) -> Lost {
        // Without a cause, and with nobody left to answer, this side is closing the connection.
        let cause = self.ended.get().cloned().unwrap_or_else(|| Arc::new(LinkError::ClosedHere));
        Lost { sent, cause }
    }

    /// Ends the connection. Every caller that waits for a reply is told the cause, and whether the
    /// system had taken the command.
    pub(super) fn end(&self, cause: LinkError) {
        let _ = self.ended.set(Arc::new(cause));
        self.window.close();
        self.window_bytes.close();
        self.has_ended.notify_waiters();
        let mut in_flight = self.in_flight();
        let written = in_flight.written;
        for waiter in in_flight.waiters.drain(..) {
            let _ = waiter.reply.send(Err(self.lost(waiter.end <= written)));
        }
    }
}
