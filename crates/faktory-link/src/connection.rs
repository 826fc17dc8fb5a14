//! One pipelined connection. A task writes commands as they come and matches replies in order;
//! callers hold futures of their replies.

mod driver;
mod large_reply;
mod pending;
mod reader;
mod state;

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::{Abilities, Command, Reply};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::driver::Driver;
pub(crate) use self::pending::Flight;
pub use self::pending::Pending;
use self::state::{Line, LineGroup, State};
use crate::config::{LinkConfig, WorkerIdentity};
use crate::connect::{self, Dialled};
use crate::error::{LinkError, Lost};

/// A pipelined connection. A dropped connection is closed at once, and the commands in flight are
/// lost; see [`Connection::close`].
#[derive(Debug)]
pub struct Connection {
    state: Arc<State>,
    writes: mpsc::Sender<LineGroup>,
    task: Option<JoinHandle<()>>,
}

impl Connection {
    /// Connects and says HELLO; as a worker, where there is an identity.
    ///
    /// # Errors
    /// With the phase in which the attempt failed or timed out. Cancel safe.
    pub async fn open(
        config: &LinkConfig,
        identity: Option<&WorkerIdentity>,
    ) -> Result<Self, LinkError> {
        Ok(Self::over(connect::dial(config, identity, false).await?, config))
    }

    /// Connects, says HELLO and asks for an answer in one write, so that two round trips show
    /// whether the server works.
    pub(crate) async fn open_and_probe(config: &LinkConfig) -> Result<Self, LinkError> {
        Ok(Self::over(connect::dial(config, None, true).await?, config))
    }

    fn over(dialled: Dialled, config: &LinkConfig) -> Self {
        let state = Arc::new(State::new(config, dialled.distance, dialled.abilities));
        let (writes, queue) = mpsc::channel(config.window_commands.max(1) as usize);
        let driver = Driver { state: Arc::clone(&state), config: config.clone() };
        let task = tokio::spawn(driver.run(dialled, queue));
        Self { state, writes, task: Some(task) }
    }

    /// Sends one whole line, and returns its pending reply when the system has taken the line.
    /// Waits while the window is full. Cancel safe: where the future is dropped, the line is sent
    /// whole or not at all.
    ///
    /// # Errors
    /// Where the connection has ended, or ends meanwhile.
    pub async fn submit(&self, line: Vec<u8>) -> Result<Pending, Lost> {
        let (mut pending, number) = self.submit_lines(vec![line]).await;
        match pending.pop() {
            // The connection has ended: the reply says whether the system had taken the line.
            Some(pending) if self.state.ended.get().is_some() => {
                pending.await.map(|reply| Pending::answered(reply, &self.state))
            }
            Some(pending) => Ok(pending.numbered(number)),
            None => Err(self.state.lost(false)),
        }
    }

    /// Sends whole lines in one write, with no other line in between. Returns the pending replies,
    /// in the order of the lines, when the system has taken all lines or the connection has ended;
    /// in the latter case each reply says whether the system had taken its line. More lines or
    /// bytes than the window holds wait for an empty window. Cancel safe: where the future is
    /// dropped, all lines are sent or none.
    pub async fn submit_together(&self, lines: Vec<Vec<u8>>) -> Vec<Pending> {
        self.submit_lines(lines).await.0
    }

    /// Does what [`Connection::submit_together`] says; also returns the number of the last line,
    /// where all are written.
    async fn submit_lines(&self, lines: Vec<Vec<u8>>) -> (Vec<Pending>, Option<u64>) {
        let (mut queued, mut pending) =
            (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        let total: usize = lines.iter().map(Vec::len).sum();
        // One permit for all lines: with a permit for each, two callers could each hold what the
        // other waits for.
        let mut window = self.state.acquire_window(lines.len(), total).await;
        let count = lines.len();
        for (index, bytes) in lines.into_iter().enumerate() {
            let (reply, receiver) = oneshot::channel();
            pending.push(Pending::new(receiver, &self.state));
            // The last reply gives the permit back.
            let window = if index + 1 == count { window.take() } else { None };
            queued.push(Line { bytes, reply, window });
        }
        let (written, is_written) = oneshot::channel();
        // Without a permit the connection has ended, and the dropped senders say so.
        let has_permit = queued.last().is_some_and(|last| last.window.is_some());
        let mut number = None;
        if has_permit && self.writes.send(LineGroup { lines: queued, written }).await.is_ok() {
            number = is_written.await.ok();
        }
        (pending, number)
    }

    /// Sends a command and waits for its reply. Cancel safe, as [`Connection::submit`] and
    /// [`Pending`] are.
    ///
    /// # Errors
    /// Where no reply comes.
    pub async fn ask(&self, command: &Command) -> Result<Reply, Lost> {
        self.submit(command.to_line()).await?.await
    }

    /// The network distance to the server: the round trip of TCP's handshake, which needs no work
    /// of the server.
    #[must_use]
    pub fn distance(&self) -> Duration {
        self.state.distance
    }

    /// What the server can do beyond Faktory, as it said in its greeting.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.state.abilities
    }

    /// Whether no command is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.state.in_flight().waiters.is_empty()
    }

    /// Whether the connection was found silent, and no reply has come since.
    pub(crate) fn is_silent(&self) -> bool {
        let in_flight = self.state.in_flight();
        in_flight.silent_since == Some(in_flight.answered)
    }

    /// The cause of the connection's end, where the connection has ended.
    #[must_use]
    pub fn ended(&self) -> Option<Arc<LinkError>> {
        self.state.ended.get().cloned()
    }

    /// Resolves when the connection has ended, with the cause. Cancel safe.
    pub async fn until_ended(&self) -> Arc<LinkError> {
        loop {
            // Registered before the state is looked at, so that no end is missed.
            let ended = self.state.has_ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if let Some(cause) = self.ended() {
                return cause;
            }
            ended.await;
        }
    }

    /// Says END and waits for the end. Commands in flight are answered before, within their
    /// deadlines.
    pub async fn close(mut self) {
        let (closed, _) = mpsc::channel(1);
        // Dropping the only sender lets the writer finish.
        drop(std::mem::replace(&mut self.writes, closed));
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            self.state.end(LinkError::ClosedHere);
        }
    }
}
