//! Sending again what may be stored: jobs whose command left, and whose outcome is unknown. Only to
//! a work server that remembers the ids of jobs, which stores none of them twice; and only until
//! the deadline of the jobs, or half of the time for which their ids are remembered.
//!
//! Each pause is longer than the one before, and while the circuit is open nothing is sent. A
//! connection that cannot be made for this is no failure of its own for the circuit breaker: new
//! commands and probes tell it soon enough, and once.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::pool::PoolFailure;
use crate::push_batch::{AfterReply, PushBatch};
use crate::send::{Number, Sender, Way};

impl Sender {
    /// Sends a batch again, after this pause.
    pub(crate) async fn send_again(&self, mut batch: PushBatch, pause: Duration) -> AfterReply {
        let connection = async {
            tokio::time::sleep(pause).await;
            self.pool.breaker().until_closed().await;
            let held = self.pool.get().await?;
            Ok::<_, PoolFailure>(self.instead_of_silent(held).await)
        };
        let held = match self.while_in_time(&mut batch, connection).await {
            None => return AfterReply::Done,
            Some(Err(_)) => return AfterReply::SendAgain(batch),
            Some(Ok(held)) => held,
        };
        if held.abilities().once == 0 {
            // Another work server has taken the place of the first.
            drop(held);
            self.pool.returned().notify_one();
            batch.answer_all(&self.queue.not_sent_in_time());
            return AfterReply::Done;
        }
        tracing::debug!(jobs = batch.jobs, "jobs that may be stored are sent again");
        // The command before has ended for the estimate; this is another one.
        let sent = self.queue.resent(batch.jobs);
        match self.carry(held, batch, Number::Further).await {
            Way::Answered(after) => {
                self.queue.answered(sent);
                after
            }
            Way::Ended(after) => {
                self.queue.unanswered(sent);
                after
            }
            Way::NeverLeft(batch, _) => {
                self.queue.unanswered(sent);
                AfterReply::SendAgain(batch)
            }
        }
    }

    /// Awaits this for the chunks of a batch. Those whose time ends meanwhile are told so; `None`
    /// where that holds for all, or nobody is to wait any longer.
    async fn while_in_time<T>(
        &self,
        batch: &mut PushBatch,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let mut abandoned = pin!(self.queue.until_abandoned());
        while let Some(due) = batch.first_due() {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = &mut abandoned => {
                    std::mem::take(batch).answer_all(&self.queue.not_sent_in_time());
                }
                () = tokio::time::sleep_until(due) => self.tell_late(batch, Instant::now()),
            }
        }
        None
    }
}
