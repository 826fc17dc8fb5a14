//! The dispatcher: gives each free connection what has gathered.
//!
//! A part waits for a connection and for its turn. While it waits others gather behind it, and
//! leave with it in one PUSHB: a busy link batches, an idle one does not. Over a long and busy way
//! small commands also keep a hundredth of a round trip between them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{LinkError, Lost};
use crate::observer::CommandTimes;
use crate::outcome::{JobOutcome, NotSent};
use crate::pool::{LinkPool, PoolFailure, Pooled};
use crate::push_batch::{After, PushBatch};
use crate::queue::{Next, Queue};

/// Connections that a command that never left may be tried on.
const ATTEMPTS: usize = 3;
/// How soon the pool is asked again after it could make no further connection.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Sends what waits in a queue over a pool's connections.
pub(crate) struct Dispatcher {
    queue: Arc<Queue>,
    pool: LinkPool,
    /// Requests to the pool that have not been answered; the pool's size bounds them.
    asking: JoinSet<Result<Pooled, PoolFailure>>,
    sending: JoinSet<()>,
}

impl Dispatcher {
    pub(crate) fn new(queue: Arc<Queue>, pool: LinkPool) -> Self {
        Self { queue, pool, asking: JoinSet::new(), sending: JoinSet::new() }
    }

    /// Runs until the queue is closed and everything in it is settled.
    pub(crate) async fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        loop {
            let changed = queue.changed.notified();
            let until = match queue.next() {
                Next::End => break,
                Next::Send => None,
                Next::Wait => Some(None),
                Next::Gather(until) => Some(Some(until)),
            };
            if let Some(until) = until {
                tokio::select! {
                    () = changed => {}
                    () = sleep_until(until) => {}
                    // What was asked for and is no longer needed goes into the pool, where others
                    // find it.
                    Some(_) = self.asking.join_next() => {}
                }
                continue;
            }
            // Those who are about to add something go first, so that it leaves together; on an idle
            // link there is nobody.
            tokio::task::yield_now().await;
            while self.sending.try_join_next().is_some() {}
            match self.connection().await {
                Ok(connection) => {
                    let (batch, sent) = queue.gather(self.pool.idle());
                    if batch.parts.is_empty() {
                        queue.over(sent);
                        continue;
                    }
                    let sender = Sender { queue: Arc::clone(&queue), pool: self.pool.clone() };
                    self.sending.spawn(async move { sender.send(connection, batch, sent).await });
                }
                Err(failure) => {
                    self.pool.breaker().failed(None, Instant::now());
                    // Everyone who waits by now has waited through this failure.
                    let outcome = unreachable(&failure);
                    queue.take_all().into_iter().for_each(|part| part.answer_all(&outcome));
                }
            }
        }
        while self.sending.join_next().await.is_some() {}
    }

    /// Where the next command can go: over a connection that is idle, or becomes so, or is new. New
    /// ones are made beside the others, so that a server that does not greet holds up nothing that
    /// a live connection could carry.
    async fn connection(&mut self) -> Result<Pooled, PoolFailure> {
        // What came too late for an earlier command goes into the pool.
        while self.asking.try_join_next().is_some() {}
        if self.pool.idle() > 0
            && let Some(Ok(connection)) = self.pool.get().now_or_never()
        {
            return Ok(connection);
        }
        let mut ask = true;
        loop {
            // Registered before the pool is asked, so that none is missed.
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
                        // A new one could not be made; those that are there come back.
                        Err(failure) => {
                            tracing::debug!(%failure, "no further connection");
                            ask = false;
                        }
                    }
                }
                () = returned => ask = true,
                // Others hold connections too, and give them back without a word.
                () = tokio::time::sleep(ASK_AGAIN), if !ask => ask = true,
            }
        }
    }
}

/// What a command needs on its way.
struct Sender {
    queue: Arc<Queue>,
    pool: LinkPool,
}

impl Sender {
    /// Sends one command and settles it. The connection is held only until the command is written.
    async fn send(&self, connection: Pooled, batch: PushBatch, sent: crate::estimate::Sent) {
        let (after, was_answered) = self.send_batch(Some(connection), batch).await;
        if was_answered {
            self.queue.answered(sent);
        } else {
            self.queue.over(sent);
        }
        if let After::Apart(parts) = after {
            for part in parts {
                let mut alone = PushBatch::default();
                alone.add(part);
                self.send_batch(None, alone).await;
            }
        }
    }

    /// Sends a batch; the second is true where the server has answered.
    async fn send_batch(&self, mut connection: Option<Pooled>, batch: PushBatch) -> (After, bool) {
        let line = batch.line();
        let mut last_failure = JobOutcome::NotSent(NotSent::Unreachable, "no connection".into());
        for _ in 0..ATTEMPTS {
            let held = match connection.take() {
                Some(held) => held,
                None => match self.pool.get().await {
                    Ok(held) => held,
                    Err(failure) => {
                        self.pool.breaker().failed(None, Instant::now());
                        last_failure = unreachable(&failure);
                        break;
                    }
                },
            };
            let left = Instant::now();
            let distance = held.distance();
            let submitted = held.submit(line.clone()).await;
            drop(held);
            self.pool.returned().notify_one();
            let answered = match submitted {
                Ok(pending) => pending.await,
                Err(lost) => Err(lost),
            };
            match answered {
                Ok(reply) => {
                    self.pool.breaker().succeeded();
                    let distance = self.queue.note_distance(distance);
                    if let Some(observer) = self.pool.observer() {
                        let waited = batch
                            .parts
                            .iter()
                            .map(|part| left.saturating_duration_since(part.since))
                            .max()
                            .unwrap_or_default();
                        let took = left.elapsed();
                        let on_the_way = took.min(distance);
                        let times = CommandTimes {
                            jobs: batch.jobs,
                            bytes: line.len(),
                            waited,
                            on_the_way,
                            in_server: took - on_the_way,
                        };
                        observer.command_answered(&times);
                    }
                    return (batch.settle(&reply), true);
                }
                Err(lost) => {
                    self.pool.breaker().failed(Some(&lost.cause), Instant::now());
                    if lost.sent {
                        batch.answer_all(&JobOutcome::Unknown(lost.to_string()));
                        return (After::Done, false);
                    }
                    // The server never saw the whole line, so another connection may carry it.
                    last_failure = not_sent(&lost);
                }
            }
        }
        batch.answer_all(&last_failure);
        (After::Done, false)
    }
}

fn unreachable(failure: &PoolFailure) -> JobOutcome {
    let reason = if failure.is_refusal() {
        NotSent::Refused
    } else if failure.is_exhaustion() {
        NotSent::Overloaded
    } else {
        NotSent::Unreachable
    };
    JobOutcome::NotSent(reason, failure.to_string())
}

fn not_sent(lost: &Lost) -> JobOutcome {
    let reason = match &*lost.cause {
        LinkError::Refused(_) => NotSent::Refused,
        LinkError::ClosedHere => NotSent::ShuttingDown,
        _ => NotSent::Unreachable,
    };
    JobOutcome::NotSent(reason, lost.to_string())
}

/// Never where there is nothing to wait for.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
