//! The sender: one command's way over a connection, until every caller in it is told the outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{LinkError, Lost};
use crate::estimate::Sent;
use crate::observer::CommandTimes;
use crate::outcome::{JobOutcome, NotSent};
use crate::pool::{LinkPool, Pooled};
use crate::push_batch::{AfterReply, PushBatch};
use crate::queue::Queue;

/// Connections on which a command that never left may be tried.
const ATTEMPTS: usize = 3;

/// The sender of one command.
pub(crate) struct Sender {
    pub(crate) queue: Arc<Queue>,
    pub(crate) pool: LinkPool,
}

impl Sender {
    /// Sends one command and tells every caller the outcome. The connection is held only until the
    /// command is written.
    pub(crate) async fn send(&self, connection: Pooled, batch: PushBatch, sent: Sent) {
        let (after, was_answered) = self.send_batch(Some(connection), batch).await;
        if was_answered {
            self.queue.answered(sent);
        } else {
            self.queue.unanswered(sent);
        }
        if let AfterReply::SendSeparately(chunks) = after {
            for chunk in chunks {
                let mut single = PushBatch::default();
                single.add(chunk);
                self.send_batch(None, single).await;
            }
        }
    }

    /// Sends a batch; the second result is true where the server has answered.
    async fn send_batch(
        &self,
        mut connection: Option<Pooled>,
        mut batch: PushBatch,
    ) -> (AfterReply, bool) {
        let mut line = batch.line();
        let mut last_failure = JobOutcome::NotSent(NotSent::Unreachable, "no connection".into());
        for _ in 0..ATTEMPTS {
            let held = match connection.take() {
                Some(held) => held,
                None => match self.pool.get().await {
                    Ok(held) => held,
                    Err(failure) => {
                        self.pool.breaker().failed(None, Instant::now());
                        last_failure = failure.outcome();
                        break;
                    }
                },
            };
            let left = Instant::now();
            // The process may have been stopped since the jobs left the queue.
            let late = batch.take_late(left);
            if !late.is_empty() {
                late.into_iter().for_each(|chunk| chunk.answer_all(&self.queue.not_sent_in_time()));
                line = batch.line();
            }
            if batch.chunks.is_empty() {
                return (AfterReply::Done, false);
            }
            let distance = held.distance();
            let submitted = held.submit(line.clone()).await;
            drop(held);
            self.pool.returned().notify_one();
            let answered = match submitted {
                Ok(pending) => {
                    batch.flies_with(&pending.flight());
                    pending.await
                }
                Err(lost) => Err(lost),
            };
            match answered {
                Ok(reply) => {
                    self.pool.breaker().succeeded();
                    let distance = self.queue.note_distance(distance);
                    self.observe(&batch, line.len(), left, distance);
                    return (batch.settle(&reply), true);
                }
                Err(lost) => {
                    self.pool.breaker().failed(Some(&lost.cause), Instant::now());
                    if lost.sent {
                        batch.answer_all(&JobOutcome::Unknown(lost.to_string()));
                        return (AfterReply::Done, false);
                    }
                    // The server never saw the whole line, so another connection may carry it.
                    last_failure = not_sent(&lost);
                }
            }
        }
        batch.answer_all(&last_failure);
        (AfterReply::Done, false)
    }

    /// Tells the observer the times of a command that was answered just now.
    fn observe(&self, batch: &PushBatch, bytes: usize, left: Instant, distance: Duration) {
        let Some(observer) = self.pool.observer() else { return };
        let took = left.elapsed();
        let on_the_way = took.min(distance);
        observer.command_answered(&CommandTimes {
            jobs: batch.jobs,
            bytes,
            waited: longest_wait(batch, left),
            on_the_way,
            in_server: took - on_the_way,
        });
    }
}

/// The wait of the chunk that has waited longest when its command leaves.
fn longest_wait(batch: &PushBatch, left: Instant) -> Duration {
    let waits = batch.chunks.iter().map(|chunk| left.saturating_duration_since(chunk.since));
    waits.max().unwrap_or_default()
}

/// The outcome of jobs whose command never left.
fn not_sent(lost: &Lost) -> JobOutcome {
    let reason = match &*lost.cause {
        LinkError::Refused(_) => NotSent::Refused,
        LinkError::ClosedHere => NotSent::ShuttingDown,
        _ => NotSent::Unreachable,
    };
    JobOutcome::NotSent(reason, lost.to_string())
}
