//! The dispatcher: gives each free connection a command with the jobs that wait.
//!
//! A chunk waits for a connection and for its turn. Chunks that arrive meanwhile leave with it in
//! one PUSHB: a busy link batches, an idle link does not. On a distant and busy link there is also
//! a pause of a hundredth of a round trip between small commands.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::pool::{LinkPool, PoolFailure, Pooled};
use crate::queue::{Next, Queue};
use crate::send::Sender;

/// The pause before the pool is asked again, after the pool could make no further connection.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The task that sends the jobs of a queue over the connections of a pool.
pub(crate) struct Dispatcher {
    queue: Arc<Queue>,
    pool: LinkPool,
    /// Requests to the pool that are not answered yet; the pool's size bounds their number.
    asking: JoinSet<Result<Pooled, PoolFailure>>,
    sending: JoinSet<()>,
}

impl Dispatcher {
    pub(crate) fn new(queue: Arc<Queue>, pool: LinkPool) -> Self {
        Self { queue, pool, asking: JoinSet::new(), sending: JoinSet::new() }
    }

    /// Runs until the queue is closed and every job in it is settled.
    pub(crate) async fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        loop {
            let changed = queue.changed.notified();
            let until = match queue.next() {
                Next::End => break,
                Next::Send => None,
                Next::Wait => Some(None),
                Next::Pause(until) => Some(Some(until)),
            };
            if let Some(until) = until {
                tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                    // A connection that is no longer needed goes back into the pool.
                    Some(_) = self.asking.join_next() => {}
                }
                continue;
            }
            // Callers that are about to add jobs run first, so that these jobs leave in the same
            // command. On an idle link there are none.
            tokio::task::yield_now().await;
            while self.sending.try_join_next().is_some() {}
            match self.connection().await {
                Ok(connection) => self.send(connection),
                Err(failure) => {
                    self.pool.breaker().failed(None, Instant::now());
                    // Every job in the queue has waited for this connection.
                    let outcome = failure.outcome();
                    queue.take_all().into_iter().for_each(|chunk| chunk.answer_all(&outcome));
                }
            }
        }
        while self.sending.join_next().await.is_some() {}
    }

    /// Sends the next command over this connection, in a task of its own.
    fn send(&mut self, connection: Pooled) {
        let (batch, sent) = self.queue.take_batch(self.pool.idle());
        if batch.chunks.is_empty() {
            self.queue.unanswered(sent);
            return;
        }
        let sender = Sender { queue: Arc::clone(&self.queue), pool: self.pool.clone() };
        self.sending.spawn(async move { sender.send(connection, batch, sent).await });
    }

    /// Waits for the first free connection: an idle one, one that becomes idle, or a new one. New
    /// connections are made at the same time, so that a server that greets no further connection
    /// does not delay a command that a live connection could carry.
    async fn connection(&mut self) -> Result<Pooled, PoolFailure> {
        // A connection that came too late for an earlier command goes back into the pool.
        while self.asking.try_join_next().is_some() {}
        if self.pool.idle() > 0
            && let Some(Ok(connection)) = self.pool.get().now_or_never()
        {
            return Ok(connection);
        }
        let mut ask = true;
        loop {
            // Registered before the pool is asked, so that no returned connection is missed.
            let returned = Arc::clone(self.pool.returned());
            let mut returned = std::pin::pin!(returned.notified());
            returned.as_mut().enable();
            if ask && self.asking.len() <= self.pool.max_size() {
                let pool = self.pool.clone();
                self.asking.spawn(async move { pool.get().await });
            }
            tokio::select! {
                Some(answer) = self.asking.join_next() => {
                    match answer.unwrap_or_else(|error| Err(PoolFailure::Pool(error.to_string()))) {
                        Ok(connection) => return Ok(connection),
                        Err(failure) if self.pool.size() == 0 => return Err(failure),
                        // No new connection could be made, but others exist and will be free.
                        Err(failure) => {
                            tracing::debug!(%failure, "no further connection could be made");
                            ask = false;
                        }
                    }
                }
                () = returned => ask = true,
                // Other users of the pool return connections without a notification.
                () = tokio::time::sleep(ASK_AGAIN), if !ask => ask = true,
            }
        }
    }
}

/// Sleeps until then; for ever where there is no time to wait for.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
