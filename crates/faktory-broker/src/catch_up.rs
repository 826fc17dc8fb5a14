//! Catching up. Before the core takes something from a client that was not heard of in time, each
//! connection reads what has arrived meanwhile: the broker may have stood still, and the clocks run
//! on then. The core asks, each connection answers behind the commands that it has read, and the
//! core judges when all have answered, as of the time at which it asked.
//!
//! Here: the question, and who has not answered it. How a connection finds out that it has caught
//! up is in `connection/catching_up.rs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::machine::ConnectionId;

/// The shortest time from one round to the next: each round costs a look at every connection.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time of a round. Each connection answers within 5 s, and each handshake ends within
/// its own time.
const ROUND_MAX: Duration = Duration::from_secs(15);
/// The time between two looks at a round.
const LOOK: Duration = Duration::from_millis(20);

/// The core's side: the rounds of questions, one at a time.
pub(crate) struct CatchUp {
    asked: watch::Sender<u64>,
    arriving: Arc<AtomicUsize>,
    /// The connections that may still send commands.
    reading: HashSet<ConnectionId>,
    round: Option<Round>,
    not_before: Duration,
}

/// A question that has been asked.
struct Round {
    began: Duration,
    awaited: HashSet<ConnectionId>,
    /// True until the listener has accepted all connections that waited for it.
    accepting: bool,
    /// The events that were still queued when the last answer came.
    queued: Option<usize>,
}

impl CatchUp {
    /// Both sides. `Asked` is for whoever accepts connections, who hands a clone to each of them.
    pub(crate) fn new() -> (Self, Asked) {
        let (asked, receiver) = watch::channel(0);
        let arriving = Arc::new(AtomicUsize::new(0));
        let catch_up = Self {
            asked,
            arriving: Arc::clone(&arriving),
            reading: HashSet::new(),
            round: None,
            not_before: Duration::ZERO,
        };
        (catch_up, Asked { asked: receiver, arriving })
    }

    /// True where a round may begin: none is running, and the last one was long enough ago.
    pub(crate) fn may_begin(&self, now: Duration) -> bool {
        self.round.is_none() && now >= self.not_before
    }

    /// Asks all connections. `listens`: new connections are accepted.
    pub(crate) fn begin(&mut self, now: Duration, listens: bool) {
        self.asked.send_modify(|number| *number += 1);
        self.not_before = now + PAUSE;
        self.round = Some(Round {
            began: now,
            awaited: self.reading.clone(),
            accepting: listens && self.asked.receiver_count() > 0,
            queued: None,
        });
    }

    /// A client finished its handshake. Where a round is running, its first commands are part of
    /// what is waited for: the client may have waited for the broker to accept it.
    pub(crate) fn opened(&mut self, connection: ConnectionId) {
        self.reading.insert(connection);
        if let Some(round) = &mut self.round {
            round.awaited.insert(connection);
            round.queued = None;
        }
    }

    /// A connection has caught up with this round.
    pub(crate) fn answered(&mut self, connection: ConnectionId, number: u64) {
        if number == *self.asked.borrow()
            && let Some(round) = &mut self.round
        {
            round.awaited.remove(&connection);
        }
    }

    /// The listener has accepted all connections that waited when this round began.
    pub(crate) fn accepted(&mut self, number: u64) {
        if number == *self.asked.borrow()
            && let Some(round) = &mut self.round
        {
            round.accepting = false;
        }
    }

    /// A connection sends no more commands.
    pub(crate) fn left(&mut self, connection: ConnectionId) {
        self.reading.remove(&connection);
        if let Some(round) = &mut self.round {
            round.awaited.remove(&connection);
        }
    }

    /// An event has been taken in.
    pub(crate) fn took_event(&mut self) {
        if let Some(queued) = self.round.as_mut().and_then(|round| round.queued.as_mut()) {
            *queued = queued.saturating_sub(1);
        }
    }

    /// The time at which the round began, where it is over: its time to judge. `is_busy`: commands
    /// that were taken in have not been carried out. `queued` says how many events wait for the
    /// core.
    pub(crate) fn finished(
        &mut self,
        now: Duration,
        is_busy: bool,
        queued: impl FnOnce() -> usize,
    ) -> Option<Duration> {
        let round = self.round.as_mut()?;
        let is_late = now.saturating_sub(round.began) >= ROUND_MAX;
        if is_late {
            tracing::warn!(
                connections = round.awaited.len(),
                "connections did not say in time whether they have read all that has arrived"
            );
        } else {
            let arriving = self.arriving.load(Ordering::SeqCst);
            if !round.awaited.is_empty() || round.accepting || arriving > 0 {
                return None;
            }
            // A connection that has just finished its handshake said so before it stopped being
            // one that arrives: its event is among those that are queued now.
            if *round.queued.get_or_insert_with(queued) > 0 || is_busy {
                return None;
            }
        }
        let began = round.began;
        self.round = None;
        Some(began)
    }

    /// The time until there is something to do about a judgement that is due in `judgement`.
    pub(crate) fn wait(&self, now: Duration, judgement: Duration) -> Duration {
        match &self.round {
            Some(_) => LOOK,
            None => judgement.max(self.not_before.saturating_sub(now)),
        }
    }
}

/// The side of those who are asked.
#[derive(Clone)]
pub(crate) struct Asked {
    asked: watch::Receiver<u64>,
    arriving: Arc<AtomicUsize>,
}

impl Asked {
    /// Counts a connection from its acceptance to the end of its handshake.
    pub(crate) fn arriving(&self) -> Arriving {
        self.arriving.fetch_add(1, Ordering::SeqCst);
        Arriving(Arc::clone(&self.arriving))
    }

    /// The side of one connection, which answers a running round too.
    pub(crate) fn for_connection(&self) -> Self {
        let mut asked = self.clone();
        if *self.asked.borrow() > 0 {
            asked.asked.mark_changed();
        }
        asked
    }

    /// The round that waits for an answer.
    pub(crate) fn unanswered(&self) -> Option<u64> {
        match self.asked.has_changed() {
            Ok(true) => Some(*self.asked.borrow()),
            Ok(false) | Err(_) => None,
        }
    }

    /// Waits for a round that waits for an answer. Cancel safe.
    pub(crate) async fn next(&mut self) -> u64 {
        if let Some(number) = self.unanswered() {
            return number;
        }
        if self.asked.changed().await.is_err() {
            // The core is gone, and asks nothing more.
            return std::future::pending().await;
        }
        self.asked.mark_changed();
        *self.asked.borrow()
    }

    /// Notes that the latest round is being answered, and returns its number.
    pub(crate) fn answer(&mut self) -> u64 {
        *self.asked.borrow_and_update()
    }
}

/// A connection before the end of its handshake.
#[derive(Debug)]
pub(crate) struct Arriving(Arc<AtomicUsize>);

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnectionId = ConnectionId(1);
    const B: ConnectionId = ConnectionId(2);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_round_is_over_when_all_have_answered_and_what_was_queued_is_taken_in() {
        let (mut catch_up, asked) = CatchUp::new();
        catch_up.opened(A);
        catch_up.opened(B);
        let arriving = asked.arriving();
        catch_up.begin(seconds(60), true);
        let number = asked.unanswered().unwrap();
        let over = |catch_up: &mut CatchUp| catch_up.finished(seconds(61), false, || 1).is_some();
        assert!(!over(&mut catch_up));
        catch_up.answered(A, number);
        catch_up.left(B);
        catch_up.accepted(number);
        let in_handshake = catch_up.finished(seconds(61), false, || 0);
        assert_eq!(in_handshake, None, "a connection is in its handshake");
        drop(arriving);
        assert!(!over(&mut catch_up), "an event is queued");
        catch_up.opened(B);
        catch_up.took_event();
        assert!(!over(&mut catch_up), "the event was a client whose commands come behind it");
        catch_up.answered(B, number);
        assert!(!over(&mut catch_up));
        catch_up.took_event();
        assert_eq!(catch_up.finished(seconds(61), true, || 7), None, "a command is not done");
        assert_eq!(catch_up.finished(seconds(61), false, || 7), Some(seconds(60)));
        assert!(!catch_up.may_begin(seconds(60)) && catch_up.may_begin(seconds(61)));
    }

    #[test]
    fn an_answer_to_an_earlier_round_does_not_count_and_every_round_ends() {
        let (mut catch_up, asked) = CatchUp::new();
        catch_up.opened(A);
        catch_up.begin(seconds(60), false);
        assert_eq!(catch_up.finished(seconds(75), true, || 0), Some(seconds(60)));
        catch_up.begin(seconds(80), false);
        catch_up.answered(A, asked.unanswered().unwrap() - 1);
        assert_eq!(catch_up.finished(seconds(81), false, || 0), None);
        catch_up.answered(A, asked.unanswered().unwrap());
        assert_eq!(catch_up.finished(seconds(81), false, || 0), Some(seconds(80)));
    }

    #[tokio::test]
    async fn a_connection_that_opens_during_a_round_is_asked_too_and_each_round_once() {
        let (mut catch_up, mut asked) = CatchUp::new();
        catch_up.begin(seconds(1), true);
        // The listener has answered, and accepts a connection after that.
        assert_eq!((asked.answer(), asked.unanswered()), (1, None));
        let mut connection = asked.for_connection();
        assert_eq!((connection.next().await, connection.next().await), (1, 1));
        assert_eq!((connection.answer(), connection.unanswered()), (1, None));
        catch_up.begin(seconds(2), true);
        assert_eq!(connection.next().await, 2);
    }
}
