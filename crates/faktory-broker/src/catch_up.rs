//! Catching up. Before the core takes something from a client that was not heard of in time, each
//! connection reads what has arrived meanwhile: the broker may have stood still, and the clocks run
//! on then. The core asks, each connection answers behind the commands that it has read, and the
//! core judges when all have answered, as of the time at which it asked.
//!
//! Strangers hold up no judgement for long: only handshakes of connections that waited when the
//! core asked are waited for, and only for as long as a handshake may take.
//!
//! Here: the question, and who has not answered it. How a connection finds out that it has caught
//! up is in `connection/catching_up.rs`; how the listener does is in `server/backlog.rs`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::machine::ConnectionId;

/// The shortest time from one round to the next: each round costs a look at every connection.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time of a round. Each connection answers within 5 s, and what strangers do ends
/// before that.
const ROUND_MAX: Duration = Duration::from_secs(15);
/// The longest time for which commands hold up a round that wait until other clients read their
/// replies.
const ROOM_MAX: Duration = Duration::from_secs(5);
/// The time between two looks at a round.
const LOOK: Duration = Duration::from_millis(20);

/// The core's side: the rounds of questions, one at a time.
pub(crate) struct CatchUp {
    asked: watch::Sender<u64>,
    arrivals: Arc<Arrivals>,
    /// The longest time of a round for the listener and for handshakes.
    strangers_max: Duration,
    /// The connections that may still send commands.
    reading: HashSet<ConnectionId>,
    round: Option<Round>,
    not_before: Duration,
}

/// What a judgement waits for beside the answers of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeldUp {
    /// Commands that were taken in have not been carried out.
    AtWork,
    /// Commands wait until there is room for replies, because other clients do not read.
    NoRoom,
    Nothing,
}

impl HeldUp {
    const fn in_words(self) -> &'static str {
        match self {
            Self::AtWork => "at work",
            Self::NoRoom => "waiting for others to read",
            Self::Nothing => "done",
        }
    }
}

/// A question that has been asked.
struct Round {
    began: Duration,
    awaited: HashSet<ConnectionId>,
    /// The last connection that waited to be accepted when the round began: later ones hold up
    /// nothing. `None` until the listener has accepted it, or had time enough to.
    last: Option<ConnectionId>,
    /// The events that were still queued when the last answer came.
    queued: Option<usize>,
}

impl CatchUp {
    /// Both sides. `Asked` is for whoever accepts connections, who hands a clone to each of them.
    pub(crate) fn new(handshake_timeout: Duration) -> (Self, Asked) {
        let (asked, receiver) = watch::channel(0);
        let arrivals = Arc::new(Arrivals::default());
        let catch_up = Self {
            asked,
            arrivals: Arc::clone(&arrivals),
            // The time of a handshake may begin anew, once; with TLS, the time of both together
            // (`connection/patience.rs`).
            strangers_max: handshake_timeout * 2,
            reading: HashSet::new(),
            round: None,
            not_before: Duration::ZERO,
        };
        (catch_up, Asked { asked: receiver, arrivals })
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
            last: if listens { None } else { Some(ConnectionId(u64::MAX)) },
            queued: None,
        });
    }

    /// A client finished its handshake. Where it may have waited for the broker to accept it when
    /// the round began, its first commands are part of what is waited for.
    pub(crate) fn opened(&mut self, connection: ConnectionId) {
        self.reading.insert(connection);
        if let Some(round) = &mut self.round
            && round.last.is_none_or(|last| connection <= last)
        {
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

    /// The listener has accepted all connections that waited when this round began, up to `last`.
    pub(crate) fn accepted(&mut self, number: u64, last: ConnectionId) {
        if number == *self.asked.borrow()
            && let Some(round) = &mut self.round
        {
            round.last.get_or_insert(last);
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

    /// The time at which the round began, where it is over: its time to judge. `queued` says how
    /// many events wait for the core.
    pub(crate) fn finished(
        &mut self,
        now: Duration,
        held_up: HeldUp,
        queued: impl FnOnce() -> usize,
    ) -> Option<Duration> {
        let round = self.round.as_mut()?;
        let lasted = now.saturating_sub(round.began);
        if lasted >= ROUND_MAX {
            tracing::warn!(
                unheard_connections = round.awaited.len(),
                commands = held_up.in_words(),
                queued_events = round.queued.unwrap_or_else(queued),
                "silent workers and reservations that are over are judged before all that had \
                 arrived was read and carried out: that took too long"
            );
        } else {
            let is_arriving = if lasted < self.strangers_max {
                round.last.is_none_or(|last| self.arrivals.is_any_up_to(last))
            } else {
                round.last.get_or_insert(ConnectionId(0));
                false
            };
            if !round.awaited.is_empty() || is_arriving {
                return None;
            }
            let is_held_up = match held_up {
                HeldUp::AtWork => true,
                HeldUp::NoRoom => lasted < ROOM_MAX,
                HeldUp::Nothing => false,
            };
            // A connection that has just finished its handshake said so before it stopped being
            // one that arrives: its event is among those that are queued now.
            if *round.queued.get_or_insert_with(queued) > 0 || is_held_up {
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
    arrivals: Arc<Arrivals>,
}

impl Asked {
    /// Notes a connection from its acceptance to the end of its handshake. Later connections have
    /// higher ids.
    pub(crate) fn arriving(&self, connection: ConnectionId) -> Arriving {
        self.arrivals.lock().insert(connection);
        Arriving { connection, among: Arc::clone(&self.arrivals) }
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

    /// Notes that this round has been answered. A later one still waits for its answer.
    pub(crate) fn answered(&mut self, round: u64) {
        if *self.asked.borrow_and_update() != round {
            self.asked.mark_changed();
        }
    }
}

/// The connections before the end of their handshakes.
#[derive(Debug, Default)]
struct Arrivals(Mutex<BTreeSet<ConnectionId>>);

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<ConnectionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_any_up_to(&self, last: ConnectionId) -> bool {
        self.lock().first().is_some_and(|first| *first <= last)
    }
}

/// A connection before the end of its handshake.
#[derive(Debug)]
pub(crate) struct Arriving {
    connection: ConnectionId,
    among: Arc<Arrivals>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.among.lock().remove(&self.connection);
    }
}
