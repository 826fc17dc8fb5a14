//! The pending reply to a command that was sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use faktory_wire::Reply;
use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::state::State;
use crate::error::{LinkError, Lost, Phase};

/// The pending reply to a command. Cancel safe: where the future is dropped, the reply is read and
/// discarded, and no other caller gets it.
#[derive(Debug)]
pub struct Pending {
    reply: oneshot::Receiver<Result<Reply, Lost>>,
    state: Arc<State>,
    /// The command's number on its connection, where it is known.
    number: Option<u64>,
}

/// A command that was written, for those who wait for its consequences.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    state: Arc<State>,
    number: u64,
}

impl Flight {
    /// Whether the reply has come, or is lost: then the waiter for the reply has it. What had
    /// arrived before this call is read first. Cancel safe.
    pub(crate) async fn is_over(&self) -> bool {
        self.state.look().await;
        self.state.ended.get().is_some() || self.state.in_flight().answered >= self.number
    }

    /// The replies that have come on its connection.
    pub(crate) fn answered(&self) -> u64 {
        self.state.in_flight().answered
    }

    /// Notes that none has come for long. The connection is silent until one comes.
    pub(crate) fn note_silence(&self) {
        let mut in_flight = self.state.in_flight();
        in_flight.silent_since = Some(in_flight.answered);
    }
}

impl Future for Pending {
    type Output = Result<Reply, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|result| match result {
            Ok(reply) => reply,
            // The connection ended before the driver took up the command.
            Err(_) => Err(self.state.lost(false)),
        })
    }
}

impl Pending {
    pub(super) fn new(reply: oneshot::Receiver<Result<Reply, Lost>>, state: &Arc<State>) -> Self {
        Self { reply, state: Arc::clone(state), number: None }
    }

    /// With the command's number.
    pub(super) fn numbered(self, number: Option<u64>) -> Self {
        Self { number, ..self }
    }

    /// The command, where it was written.
    pub(crate) fn flight(&self) -> Option<Flight> {
        Some(Flight { state: Arc::clone(&self.state), number: self.number? })
    }

    /// A pending reply that has come already.
    pub(super) fn answered(reply: Reply, state: &Arc<State>) -> Self {
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(Ok(reply));
        Self::new(receiver, state)
    }

    /// The reply, if it comes within this time, which is shorter than the connection's own
    /// deadline. Where no reply comes and no other command is in flight, the connection is dead and
    /// ends; with more commands in flight the server may just be busy. Cancel safe.
    ///
    /// # Errors
    /// Where no reply comes.
    pub(crate) async fn within(mut self, limit: Duration) -> Result<Reply, Lost> {
        if let Ok(reply) = tokio::time::timeout(limit, &mut self).await {
            return reply;
        }
        // The reply may lie in the socket: this process may have been stopped.
        self.state.look().await;
        if let Some(reply) = (&mut self).now_or_never() {
            return reply;
        }
        let cause = Arc::new(LinkError::Timeout { phase: Phase::Reply, after: limit });
        if self.state.in_flight().waiters.len() <= 1
            && self.state.ended.set(Arc::clone(&cause)).is_ok()
        {
            self.state.nudged.notify_one();
        }
        Err(Lost { sent: true, cause })
    }
}
