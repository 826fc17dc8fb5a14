//! The pending reply to a command that was sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use faktory_wire::Reply;
use tokio::sync::oneshot;

use super::state::State;
use crate::error::{LinkError, Lost, Phase};

/// The pending reply to a command. Cancel safe: where the future is dropped, the reply is read and
/// discarded, and no other caller gets it.
#[derive(Debug)]
pub struct Pending {
    reply: oneshot::Receiver<Result<Reply, Lost>>,
    state: Arc<State>,
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
        Self { reply, state: Arc::clone(state) }
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
    pub(crate) async fn within(self, limit: Duration) -> Result<Reply, Lost> {
        let state = Arc::clone(&self.state);
        if let Ok(reply) = tokio::time::timeout(limit, self).await {
            return reply;
        }
        let cause = Arc::new(LinkError::Timeout { phase: Phase::Reply, after: limit });
        if state.in_flight().waiters.len() <= 1 && state.ended.set(Arc::clone(&cause)).is_ok() {
            state.given_up.notify_one();
        }
        Err(Lost { sent: true, cause })
    }
}
