//! The sender: one command's way over a connection, until every caller in it is told the outcome.
//! How a command that may have been carried out is sent again is in `resend.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::chunk::Chunk;
use crate::error::{LinkError, Lost};
use crate::estimate::Sent;
use crate::observer::CommandTimes;
use crate::outcome::{JobOutcome, NotSent};
use crate::pool::{LinkPool, Pooled};
use crate::push_batch::{AfterReply, PushBatch};
use crate::queue::Queue;

/// Connections on which a command that never left may be tried.
const ATTEMPTS: usize = 3;

/// Why jobs with terms are not sent.
const NO_MEMORY: &str = "the work server does not remember ids of jobs, or not for so long";

/// What is known of jobs that are sent again because of a silent connection.
const SILENT: &str = "sent, and no answer has come so far";

/// The sender of one command.
pub(crate) struct Sender {
    pub(crate) queue: Arc<Queue>,
    pub(crate) pool: LinkPool,
}

/// Which of the commands with a batch one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    First,
    Further,
}

/// What became of a command.
pub(crate) enum Way {
    /// The server has answered it.
    Answered(AfterReply),
    /// It has left without an answer, or nothing of it was to be sent any more.
    Ended(AfterReply),
    /// The server never saw the whole line, so another connection may carry the batch.
    NeverLeft(PushBatch, JobOutcome),
}

impl Sender {
    /// Sends one command and tells every caller the outcome. The connection is held only until the
    /// command is written.
    pub(crate) async fn send(&self, connection: Pooled, batch: PushBatch, sent: Sent) {
        for chunk in self.send_batch(Some(connection), batch, Some(sent)).await {
            let mut single = PushBatch::default();
            single.add(chunk);
            self.send_batch(None, single, None).await;
        }
    }

    /// Sends a batch, and again as often as that may help. Returns the chunks that are to be sent
    /// in commands of their own.
    async fn send_batch(
        &self,
        connection: Option<Pooled>,
        batch: PushBatch,
        sent: Option<Sent>,
    ) -> Vec<Chunk> {
        let mut after = self.send_first(connection, batch, sent).await;
        let mut backoff = Backoff::default();
        loop {
            match after {
                AfterReply::Done => return Vec::new(),
                AfterReply::SendSeparately(chunks) => return chunks,
                AfterReply::SendAgain(batch) => {
                    after = self.send_again(batch, backoff.next_pause()).await;
                }
            }
        }
    }

    /// Sends a batch over the first connection that carries it.
    async fn send_first(
        &self,
        mut connection: Option<Pooled>,
        mut batch: PushBatch,
        sent: Option<Sent>,
    ) -> AfterReply {
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
            match self.carry(held, batch, Number::First).await {
                Way::Answered(after) => {
                    sent.into_iter().for_each(|sent| self.queue.answered(sent));
                    return after;
                }
                Way::Ended(after) => {
                    sent.into_iter().for_each(|sent| self.queue.unanswered(sent));
                    return after;
                }
                Way::NeverLeft(same, failure) => (batch, last_failure) = (same, failure),
            }
        }
        sent.into_iter().for_each(|sent| self.queue.unanswered(sent));
        batch.never_left(&last_failure)
    }

    /// Sends one command with the batch over this connection. The first one is given up early
    /// where the connection is silent, and the batch may be sent again.
    pub(crate) async fn carry(&self, held: Pooled, mut batch: PushBatch, number: Number) -> Way {
        let once = held.abilities().once;
        let left = Instant::now();
        // The process may have been stopped since the jobs left the queue.
        self.tell_late(&mut batch, left);
        for chunk in batch.take_not_kept_for(once) {
            chunk.answer_all(&JobOutcome::NotSent(NotSent::NotRemembered, NO_MEMORY.into()));
        }
        if batch.chunks.is_empty() {
            return Way::Ended(AfterReply::Done);
        }
        let distance = held.distance();
        let line = batch.line(once);
        let bytes = line.len();
        let submitted = held.submit(line).await;
        drop(held);
        self.pool.returned().notify_one();
        let answered = match submitted {
            Ok(pending) => {
                batch.flies_with(&pending.flight());
                let reply = match number {
                    Number::First if once > 0 => {
                        self.reply_or_silence(pending, &batch, (left, once)).await
                    }
                    Number::First | Number::Further => Some(pending.await),
                };
                match reply {
                    Some(reply) => reply,
                    // No failure so far: the connection goes on.
                    None => return Way::Ended(batch.may_be_stored(SILENT, left, once)),
                }
            }
            Err(lost) => Err(lost),
        };
        match answered {
            Ok(reply) => {
                self.pool.breaker().succeeded();
                let distance = self.queue.note_distance(distance);
                self.observe(&batch, bytes, left, distance);
                Way::Answered(batch.settle(&reply, left, once))
            }
            Err(lost) => {
                self.pool.breaker().failed(Some(&lost.cause), Instant::now());
                if lost.sent {
                    Way::Ended(batch.may_be_stored(&lost.to_string(), left, once))
                } else {
                    Way::NeverLeft(batch, not_sent(&lost))
                }
            }
        }
    }

    /// Tells the callers whose chunks may no longer be sent.
    pub(crate) fn tell_late(&self, batch: &mut PushBatch, now: Instant) {
        for chunk in batch.take_late(now) {
            chunk.answer_all(&self.queue.not_sent_in_time());
        }
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
