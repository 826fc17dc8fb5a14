//! One pipelined connection. A task writes commands as they come and matches replies in order;
//! callers hold futures.

mod driver;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use faktory_wire::{Command, Reply};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::driver::Driver;
use crate::config::{LinkConfig, WorkerIdentity};
use crate::connect::{self, Dialled};
use crate::error::{LinkError, Lost, Phase};

/// A pipelined connection. Dropped, it is closed at once: what is in flight is lost. See
/// [`Connection::close`].
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Item>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Commands and bytes that may still be sent without a reply.
    window: Arc<Semaphore>,
    window_bytes: Arc<Semaphore>,
    window_max: u32,
    window_bytes_max: u32,
    in_flight: Mutex<InFlight>,
    /// Something was sent: there is a reply to wait for.
    sent: Notify,
    /// Nothing is in flight any more.
    idle: Notify,
    /// The connection has ended.
    has_ended: Notify,
    ended: OnceLock<Arc<LinkError>>,
    /// It is to end.
    given_up: Notify,
    /// How long TCP's handshake took.
    distance: Duration,
}

/// Commands that have been handed to the writer, oldest first.
#[derive(Debug, Default)]
struct InFlight {
    waiters: VecDeque<Waiter>,
    /// Bytes that the system has taken since the beginning.
    written: u64,
}

#[derive(Debug)]
struct Waiter {
    reply: oneshot::Sender<Result<Reply, Lost>>,
    /// Where the command ends in the stream of bytes.
    end: u64,
    /// From when its reply is waited for.
    since: Instant,
    _window: Option<Room>,
}

/// Room in the window, in commands and in bytes.
type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Lines that go out in one write.
#[derive(Debug)]
struct Item {
    lines: Vec<Line>,
    written: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    reply: oneshot::Sender<Result<Reply, Lost>>,
    window: Option<Room>,
}

/// The reply to come. Cancel safe: dropped, the reply is read and forgotten, and nobody else gets
/// it.
#[derive(Debug)]
pub struct Pending {
    reply: oneshot::Receiver<Result<Reply, Lost>>,
    shared: Arc<Shared>,
}

impl Future for Pending {
    type Output = Result<Reply, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|result| match result {
            Ok(reply) => reply,
            // The connection ended before the command was taken up.
            Err(_) => Err(self.shared.lost(false)),
        })
    }
}

impl Shared {
    fn in_flight(&self) -> std::sync::MutexGuard<'_, InFlight> {
        // The lock is never held where something could panic half way.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, sent: bool) -> Lost {
        // Not yet ended, and yet nobody is left to answer: then it is we who are closing it.
        Lost {
            sent,
            cause: self.ended.get().cloned().unwrap_or_else(|| Arc::new(LinkError::ClosedHere)),
        }
    }

    /// Ends the connection: everyone who waits learns why, and whether his command had gone out.
    fn end(&self, cause: LinkError) {
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

impl Connection {
    /// Connects and says HELLO; as a worker, where there is an identity.
    ///
    /// # Errors
    /// With the phase in which it failed or timed out. Cancel safe.
    pub async fn open(
        config: &LinkConfig,
        identity: Option<&WorkerIdentity>,
    ) -> Result<Self, LinkError> {
        Ok(Self::over(connect::dial(config, identity, false).await?, config))
    }

    /// Connects, says HELLO and asks for an answer in one, so that it is known after two round
    /// trips that the server works.
    pub(crate) async fn open_and_probe(config: &LinkConfig) -> Result<Self, LinkError> {
        Ok(Self::over(connect::dial(config, None, true).await?, config))
    }

    fn over(dialled: Dialled, config: &LinkConfig) -> Self {
        let shared = Arc::new(Shared {
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
            distance: dialled.distance,
        });
        let (commands, queue) = mpsc::channel(config.window_commands.max(1) as usize);
        let driver = Driver { shared: Arc::clone(&shared), config: config.clone() };
        let task = tokio::spawn(driver.run(dialled, queue));
        Self { shared, commands, task: Some(task) }
    }

    /// Sends one whole line, and returns when the system has taken it, with the reply to come.
    /// Waits while the window is full. Cancel safe: dropped early, the line is sent whole or not at
    /// all.
    ///
    /// # Errors
    /// Where the connection has ended, or ends meanwhile.
    pub async fn submit(&self, line: Vec<u8>) -> Result<Pending, Lost> {
        let mut pending = self.submit_together(vec![line]).await;
        match pending.pop() {
            // Not taken by the system: its reply says how far it had come.
            Some(pending) if self.shared.ended.get().is_some() => {
                pending.await.map(|reply| Pending::answered(reply, &self.shared))
            }
            Some(pending) => Ok(pending),
            None => Err(self.shared.lost(false)),
        }
    }

    /// Sends whole lines in one write, and returns when the system has taken them or the connection
    /// has ended, with the replies to come, in their order; after the end they say how far each
    /// line had come. Nothing else goes in between them. More lines or bytes than the window holds
    /// wait for an empty one. Cancel safe: dropped early, all are sent or none.
    pub async fn submit_together(&self, lines: Vec<Vec<u8>>) -> Vec<Pending> {
        let (mut items, mut pending) =
            (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        let total: usize = lines.iter().map(Vec::len).sum();
        // Room for all of them at once: taken bit by bit, two callers could each hold what the
        // other waits for.
        let mut window = self.window(lines.len(), total).await;
        let count = lines.len();
        for (index, bytes) in lines.into_iter().enumerate() {
            let (reply, receiver) = oneshot::channel();
            pending.push(Pending { reply: receiver, shared: Arc::clone(&self.shared) });
            // The last reply gives the room back.
            let window = if index + 1 == count { window.take() } else { None };
            items.push(Line { bytes, reply, window });
        }
        let (written, is_written) = oneshot::channel();
        // Without room the connection has ended, and the dropped senders say so.
        let has_room = items.last().is_some_and(|last| last.window.is_some());
        if has_room && self.commands.send(Item { lines: items, written }).await.is_ok() {
            let _ = is_written.await;
        }
        pending
    }

    async fn window(&self, lines: usize, bytes: usize) -> Option<Room> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.shared.window_bytes_max);
        let lines = u32::try_from(lines).unwrap_or(u32::MAX).min(self.shared.window_max);
        let bytes = Arc::clone(&self.shared.window_bytes).acquire_many_owned(bytes).await.ok()?;
        let lines = Arc::clone(&self.shared.window).acquire_many_owned(lines).await.ok()?;
        Some((lines, bytes))
    }

    /// Sends a command and waits for its reply. Cancel safe, as [`Connection::submit`] and
    /// [`Pending`] are.
    ///
    /// # Errors
    /// Where no reply comes.
    pub async fn ask(&self, command: &Command) -> Result<Reply, Lost> {
        self.submit(command.to_line()).await?.await
    }

    /// The round trip of TCP's handshake, in which the server's work has no part.
    #[must_use]
    pub fn distance(&self) -> Duration {
        self.shared.distance
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.shared.in_flight().waiters.is_empty()
    }

    /// Why the connection has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Arc<LinkError>> {
        self.shared.ended.get().cloned()
    }

    /// Resolves when the connection has ended, with the cause. Cancel safe.
    pub async fn until_ended(&self) -> Arc<LinkError> {
        loop {
            // Registered before it is looked at, so that no end is missed.
            let ended = self.shared.has_ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if let Some(cause) = self.ended() {
                return cause;
            }
            ended.await;
        }
    }

    /// Says END, and waits for the end; what is in flight is still answered, within its deadlines.
    pub async fn close(mut self) {
        let (closed, _) = mpsc::channel(1);
        // Dropping the only sender lets the writer finish.
        drop(std::mem::replace(&mut self.commands, closed));
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Pending {
    /// The reply, if it comes within this time, shorter than the connection's own. Where it does
    /// not and nothing else is in flight, the connection is dead and ends; with more in flight it
    /// may just be busy. Cancel safe.
    ///
    /// # Errors
    /// Where no reply comes.
    pub(crate) async fn within(self, limit: Duration) -> Result<Reply, Lost> {
        let shared = Arc::clone(&self.shared);
        if let Ok(reply) = tokio::time::timeout(limit, self).await {
            return reply;
        }
        let cause = Arc::new(LinkError::Timeout { phase: Phase::Reply, after: limit });
        if shared.in_flight().waiters.len() <= 1 && shared.ended.set(Arc::clone(&cause)).is_ok() {
            shared.given_up.notify_one();
        }
        Err(Lost { sent: true, cause })
    }

    fn answered(reply: Reply, shared: &Arc<Shared>) -> Self {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(Ok(reply));
        Self { reply: receiver, shared: Arc::clone(shared) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            self.shared.end(LinkError::ClosedHere);
        }
    }
}
