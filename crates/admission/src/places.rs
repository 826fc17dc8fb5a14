//! The places of a listener: how many connections it holds, and which connection makes room for a
//! new one. A client that has shown who it is keeps its place. One that has not may lose it, and
//! only where there is no other room: see `places/waiting.rs` for which.

mod waiting;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::nets::{Nets, client_of};
use waiting::Waiting;

/// The most connections of clients that have not shown who they are, whatever the total is. A
/// handshake over TLS takes some 30 KB, so these take 60 MB at the most.
const STRANGERS_MAX: usize = 2000;

/// How many connections a listener holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceLimits {
    /// All connections.
    pub total: usize,
    /// Those among them whose clients have not shown who they are and are not in a trusted network.
    pub strangers: usize,
}

impl PlaceLimits {
    /// Half of the total for strangers, but no more than 2,000. With more places, a silent client
    /// takes longer to drive another one out; with fewer, it costs less.
    #[must_use]
    pub const fn of_total(total: usize) -> Self {
        let half = total.div_ceil(2);
        Self { total, strangers: if half < STRANGERS_MAX { half } else { STRANGERS_MAX } }
    }
}

/// What a new connection gets.
#[derive(Debug)]
pub enum Entry<S> {
    /// The connection has a place.
    Admitted {
        /// The place, to be kept as long as the connection is open.
        place: Place<S>,
        /// What was handed over with the connection that loses its place for this one. That
        /// connection has to be closed.
        instead_of: Option<S>,
    },
    /// Every place belongs to a client that has shown who it is.
    Full,
}

/// The places of one listener. Each connection hands over some `S` that can close it.
#[derive(Debug)]
pub struct Places<S> {
    limits: PlaceLimits,
    trusted: Nets,
    state: Mutex<State<S>>,
}

#[derive(Debug)]
struct State<S> {
    random: fastrand::Rng,
    last_id: u64,
    /// All connections that have a place.
    open: usize,
    strangers: Waiting<S>,
    /// Connections from trusted networks whose clients have not shown who they are.
    trusted: Waiting<S>,
}

impl<S> Places<S> {
    /// Places within these limits. Connections from `trusted` networks count in the total alone.
    #[must_use]
    pub fn new(limits: PlaceLimits, trusted: Nets, seed: u64) -> Arc<Self> {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            last_id: 0,
            open: 0,
            strangers: Waiting::default(),
            trusted: Waiting::default(),
        };
        Arc::new(Self { limits, trusted, state: Mutex::new(state) })
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> PlaceLimits {
        self.limits
    }

    /// Gives a new connection a place. Where there is none, a connection whose client has not shown
    /// who it is loses its place: one of a stranger, or, where only the total is reached and no
    /// stranger waits, one from a trusted network.
    pub fn enter(self: &Arc<Self>, address: IpAddr, stop: S, now: Instant) -> Entry<S> {
        let is_trusted = self.trusted.contains(address);
        let client = client_of(address);
        let mut state = self.lock();
        let State { random, last_id, open, strangers, trusted } = &mut *state;
        let mut instead_of = None;
        if !is_trusted && strangers.len() >= self.limits.strangers {
            instead_of = strangers.remove_one(now, random);
        } else if *open >= self.limits.total {
            instead_of =
                strangers.remove_one(now, random).or_else(|| trusted.remove_one(now, random));
        }
        if instead_of.is_some() {
            *open -= 1;
        }
        if *open >= self.limits.total {
            return Entry::Full;
        }
        *open += 1;
        *last_id += 1;
        let id = *last_id;
        let waiting = if is_trusted { trusted } else { strangers };
        waiting.insert(client, id, now, stop);
        drop(state);
        let place = Place {
            places: Arc::clone(self),
            client,
            id,
            is_trusted,
            is_kept: AtomicBool::new(false),
        };
        Entry::Admitted { place, instead_of }
    }

    /// The connections that have a place.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().open
    }

    /// The connections of strangers among them.
    #[must_use]
    pub fn strangers(&self) -> usize {
        self.lock().strangers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection. Dropped, it is free.
#[derive(Debug)]
pub struct Place<S> {
    places: Arc<Places<S>>,
    client: IpAddr,
    id: u64,
    is_trusted: bool,
    is_kept: AtomicBool,
}

impl<S> Place<S> {
    /// The client has shown who it is: the connection keeps its place until its end. False where
    /// it has lost its place already; the connection is then to be closed.
    pub fn authenticated(&self) -> bool {
        let is_kept = self.is_kept() || self.stop_waiting();
        self.is_kept.store(is_kept, Ordering::Relaxed);
        is_kept
    }

    /// True where the connection keeps its place until its end.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// True where the connection waited until now: it keeps its place, or has lost it, otherwise.
    fn stop_waiting(&self) -> bool {
        let mut state = self.places.lock();
        let State { strangers, trusted, .. } = &mut *state;
        let waiting = if self.is_trusted { trusted } else { strangers };
        waiting.remove(self.client, self.id)
    }
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        if *self.is_kept.get_mut() || self.stop_waiting() {
            self.places.lock().open -= 1;
        }
    }
}
