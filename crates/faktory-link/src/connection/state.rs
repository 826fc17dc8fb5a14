//! The state of a connection that its handle and its driver share, and the writes that the handle
//! hands to the driver.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use faktory_wire::{Abilities, Reply};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::config::LinkConfig;
use crate::error::{LinkError, Lost};

/// The time of a look at the most. It is used up only where the server sends all the time faster
/// than this side reads.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Lines that are written together, with no other line in between.
#[derive(Debug)]
pub(super) struct LineGroup {
    pub(super) lines: Vec<Line>,
    /// Told the number of the last line when the system has taken all of the lines.
    pub(super) written: oneshot::Sender<u64>,
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
    /// Notified when a command was written, so that there is a reply to wait for.
    pub(super) sent: Notify,
    /// Notified when nothing is in flight any more.
    pub(super) idle: Notify,
    /// Notified when the connection has ended.
    pub(super) has_ended: Notify,
    /// The cause of the end.
    pub(super) ended: OnceLock<Arc<LinkError>>,
    /// Notified when the driver is to end the connection, for the cause in `ended`, or to look
    /// whether something has arrived.
    pub(super) nudged: Notify,
    /// Those who wait for such a look.
    looks: Mutex<Vec<oneshot::Sender<()>>>,
    /// True where there are any, so that the reader need not ask for the lock.
    are_looks_wanted: AtomicBool,
    /// The duration of TCP's handshake.
    pub(super) distance: Duration,
    /// What the server can do beyond Faktory.
    pub(super) abilities: Abilities,
}

/// The commands that the writer has taken up, oldest first.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    pub(super) waiters: VecDeque<Waiter>,
    /// Bytes that the system has taken since the connection began.
    pub(super) written: u64,
    /// Commands that the writer has taken up since the connection began. A command's number is the
    /// count when it was taken up.
    pub(super) taken: u64,
    /// Replies that were handed to their waiters. They come in the order of the commands, so the
    /// command with this number is the last that is answered.
    pub(super) answered: u64,
    /// Those that had come when the connection was found silent last.
    pub(super) silent_since: Option<u64>,
}

impl InFlight {
    /// Begins the wait for the oldest reply, where its command is written; true where the wait had
    /// not begun before. Until then the reply has no deadline, only the write has.
    pub(super) fn begin_wait(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let written = self.written;
        let oldest = self.waiters.front_mut();
        let Some(oldest) = oldest.filter(|oldest| oldest.since.is_none() && oldest.end <= written)
        else {
            return false;
        };
        oldest.since = Some(now());
        true
    }
}

/// A caller that waits for the reply to a command.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) reply: oneshot::Sender<Result<Reply, Lost>>,
    /// Where the command ends in the stream of bytes.
    pub(super) end: u64,
    /// When the wait for the reply began: once the command is written, and no other reply is due
    /// before it.
    pub(super) since: Option<Instant>,
    pub(super) _window: Option<WindowPermit>,
}

impl State {
    pub(super) fn new(config: &LinkConfig, distance: Duration, abilities: Abilities) -> Self {
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
            nudged: Notify::new(),
            looks: Mutex::default(),
            are_looks_wanted: AtomicBool::new(false),
            distance,
            abilities,
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

    /// Has the driver look whether anything has arrived. Resolves when each reply that had arrived
    /// before this call is with its waiter, or waits for memory, or the connection has ended; and
    /// after [`LOOK_MAX`] in any case. Cancel safe.
    pub(super) async fn look(&self) {
        let is_done = {
            let mut looks = self.looks();
            if self.ended.get().is_some() {
                return;
            }
            self.ask_for_look(&mut looks)
        };
        self.nudged.notify_one();
        // Dropped is done, too.
        let _ = deadline::timeout(LOOK_MAX, is_done).await;
    }

    /// Looks once more although the cause of the end is known; for the driver, which polls the
    /// reader meanwhile. Cancel safe.
    pub(super) async fn last_look(&self) {
        let is_done = self.ask_for_look(&mut self.looks());
        let _ = deadline::timeout(LOOK_MAX, is_done).await;
    }

    fn ask_for_look(&self, looks: &mut Vec<oneshot::Sender<()>>) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        looks.push(done);
        self.are_looks_wanted.store(true, Ordering::Release);
        is_done
    }

    /// Notes the cause of the end, where none is known: [`State::end`] follows.
    pub(super) fn note_cause(&self, cause: LinkError) {
        let _ = self.ended.set(Arc::new(cause));
    }

    fn looks(&self) -> MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in who has asked for a look.
    pub(super) fn take_looks(&self, taken: &mut Vec<oneshot::Sender<()>>) {
        if self.are_looks_wanted.load(Ordering::Acquire) {
            let mut looks = self.looks();
            self.are_looks_wanted.store(false, Ordering::Release);
            taken.append(&mut looks);
        }
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
        self.note_cause(cause);
        self.window.close();
        self.window_bytes.close();
        self.has_ended.notify_waiters();
        let mut in_flight = self.in_flight();
        let written = in_flight.written;
        for waiter in in_flight.waiters.drain(..) {
            let _ = waiter.reply.send(Err(self.lost(waiter.end <= written)));
        }
        drop(in_flight);
        self.looks().clear();
    }
}
