//! The lines in the log about connections that are turned away or fail. They are bounded, because
//! anybody can bring any number of them about.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use admission::{BoundedLog, PlaceLimits};

/// The shortest time between two lines of one kind.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// When to write a line of each kind.
pub(super) struct Logs {
    limits: PlaceLimits,
    made_room: BoundedLog,
    too_many: BoundedLog,
    failed: BoundedLog,
    pub(super) bad_tls: BadTls,
}

/// The clients that fail to agree on TLS, of all connections.
#[derive(Clone)]
pub(super) struct BadTls(Arc<Mutex<BoundedLog>>);

impl Logs {
    pub(super) fn new(limits: PlaceLimits) -> Self {
        Self {
            limits,
            made_room: BoundedLog::new(LOG_EVERY),
            too_many: BoundedLog::new(LOG_EVERY),
            failed: BoundedLog::new(LOG_EVERY),
            bad_tls: BadTls(Arc::new(Mutex::new(BoundedLog::new(LOG_EVERY)))),
        }
    }

    pub(super) fn note_made_room(&mut self, now: Instant) {
        let due = self.made_room.note(now);
        self.made_room(due);
    }

    fn made_room(&self, due: Option<u64>) {
        let Some(count) = due else { return };
        let at_most = self.limits.strangers;
        tracing::warn!(
            count,
            at_most,
            "closed connections that had shown no key yet, to make room for new ones"
        );
    }

    pub(super) fn note_too_many(&mut self, now: Instant) {
        let due = self.too_many.note(now);
        self.too_many(due);
    }

    fn too_many(&self, due: Option<u64>) {
        let Some(count) = due else { return };
        let at_most = self.limits.total;
        tracing::warn!(count, at_most, "refused connections: there are too many");
    }

    pub(super) fn note_failed(&mut self, error: &io::Error, now: Instant) {
        if let Some(count) = self.failed.note(now) {
            tracing::warn!(%error, count, "failed to accept a connection");
        }
    }

    /// Logs the counts that no line has told and whose interval has ended. To be called about once
    /// a second.
    pub(super) fn log_due(&mut self, now: Instant) {
        let [made_room, too_many] = [self.made_room.due(now), self.too_many.due(now)];
        self.made_room(made_room);
        self.too_many(too_many);
        if let Some(count) = self.failed.due(now) {
            tracing::warn!(count, "failed to accept connections");
        }
        let due = self.bad_tls.log().due(now);
        if let Some(count) = due {
            tracing::info!(count, "clients failed to agree on TLS");
        }
    }
}

impl BadTls {
    pub(super) fn note(&self, client: SocketAddr, error: impl Display) {
        let due = self.log().note(now());
        if let Some(count) = due {
            tracing::info!(%client, %error, count, "a client failed to agree on TLS");
        }
    }

    fn log(&self) -> MutexGuard<'_, BoundedLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time by the runtime's clock, which tests may set.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
