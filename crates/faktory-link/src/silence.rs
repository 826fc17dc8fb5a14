//! Silence: a connection that is lost without a word shows nothing until its read timeout, which
//! may be half of the time of a request. Where a command may be sent again, that is done over
//! another connection after a few round trips, as TCP does with a segment (RFC 6298, RFC 8985).
//!
//! A server that is merely slow is not asked twice as often for it: a command is sent again early
//! once at the most, and not while replies come on its connection. The connection itself is left to
//! its read timeout.

use std::pin::pin;
use std::time::Duration;

use faktory_wire::Reply;
use futures_util::FutureExt;
use tokio::time::Instant;

use crate::connection::Pending;
use crate::error::Lost;
use crate::pool::Pooled;
use crate::push_batch::PushBatch;
use crate::send::Sender;

/// A connection is silent after so many round trips, smoothed over commands, ...
const ROUND_TRIPS: u32 = 4;
/// ... and not before: a server may sync its disk, and TCP sends a lost segment again by itself.
const SILENCE_MIN: Duration = Duration::from_secs(2);
/// The most connections that are looked at for one that is not silent: all others go on meanwhile.
const LOOKS_MAX: usize = 4;

/// The time after which a connection without a reply is silent.
fn silence(round_trip: Option<Duration>) -> Duration {
    round_trip.unwrap_or_default().saturating_mul(ROUND_TRIPS).max(SILENCE_MIN)
}

impl Sender {
    /// The reply to a command with this batch, which left then for a work server that remembers ids
    /// for `once` seconds; `None` where none has come on the connection for so long that the batch
    /// is to be sent again, and may be.
    pub(crate) async fn reply_or_silence(
        &self,
        pending: Pending,
        batch: &PushBatch,
        (left, once): (Instant, u32),
    ) -> Option<Result<Reply, Lost>> {
        let Some(flight) = pending.flight() else { return Some(pending.await) };
        let mut pending = pin!(pending);
        let mut answered = flight.answered();
        loop {
            let limit = silence(self.queue.status().smoothed);
            if let Ok(reply) = tokio::time::timeout(limit, &mut pending).await {
                return Some(reply);
            }
            // What has arrived is read first: this process may have been stopped.
            if flight.is_over().await {
                return Some(pending.await);
            }
            let before = std::mem::replace(&mut answered, flight.answered());
            if before == answered && batch.may_be_sent_again(left, once) {
                flight.note_silence();
                return None;
            }
        }
    }

    /// A connection in place of a silent one, where there is another. Idle ones are looked at
    /// without a wait, since those that are looked at are kept meanwhile: only where the pool may
    /// grow, a new one is waited for.
    pub(crate) async fn instead_of_silent(&self, mut held: Pooled) -> Pooled {
        let mut silent = Vec::new();
        while held.is_silent() && silent.len() < LOOKS_MAX {
            let other = if self.pool.idle() > 0 {
                self.pool.get().now_or_never()
            } else if self.pool.size() < self.pool.max_size() {
                Some(self.pool.get().await)
            } else {
                None
            };
            let Some(Ok(other)) = other else { break };
            silent.push(std::mem::replace(&mut held, other));
        }
        if !silent.is_empty() {
            drop(silent);
            self.pool.returned().notify_one();
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_few_round_trips_and_never_short() {
        let of = |millis| silence(Some(Duration::from_millis(millis))).as_millis();
        assert_eq!([of(0), of(100), of(1500)], [2000, 2000, 6000]);
        assert_eq!(silence(None), SILENCE_MIN);
    }
}
