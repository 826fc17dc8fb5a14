//! The manager that deadpool asks for connections, and the store of connections that were made
//! outside of the pool.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};

use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::LinkError;

/// The manager of the pool's connections: makes them, and tells deadpool which are dead.
#[derive(Debug)]
pub struct Manager {
    config: LinkConfig,
    ready_made: Arc<ReadyMade>,
}

impl Manager {
    pub(super) const fn new(config: LinkConfig, ready_made: Arc<ReadyMade>) -> Self {
        Self { config, ready_made }
    }
}

/// Connections that were made outside of the pool and go into it as new ones. Deadpool itself makes
/// a connection only for a caller that finds none idle, and a connection takes several round trips.
#[derive(Debug)]
pub(super) struct ReadyMade {
    connections: Mutex<Vec<Connection>>,
    /// Connections made so far, in the pool or outside.
    connected: AtomicU64,
    /// The seconds for which the work server remembers the ids of jobs, as the connection that was
    /// made last was told; [`NOT_KNOWN`] before the first.
    once: AtomicI64,
}

const NOT_KNOWN: i64 = -1;

impl Default for ReadyMade {
    fn default() -> Self {
        let (connections, connected) = (Mutex::default(), AtomicU64::default());
        Self { connections, connected, once: AtomicI64::new(NOT_KNOWN) }
    }
}

impl ReadyMade {
    pub(super) fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// The seconds for which the work server remembers the ids of jobs; `None` before the first
    /// connection.
    pub(super) fn once(&self) -> Option<u32> {
        u32::try_from(self.once.load(Ordering::Relaxed)).ok()
    }

    /// Counts a connection that was made, and notes what its server can do.
    pub(super) fn count(&self, connection: &Connection) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.once.store(connection.abilities().once.into(), Ordering::Relaxed);
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = LinkError;

    async fn create(&self) -> Result<Connection, LinkError> {
        let ready_made = self.ready_made.connections().pop();
        if let Some(connection) = ready_made.filter(|connection| connection.ended().is_none()) {
            return Ok(connection);
        }
        let connection = Connection::open(&self.config, None).await?;
        self.ready_made.count(&connection);
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<LinkError> {
        match connection.ended() {
            None => Ok(()),
            Some(cause) => Err(RecycleError::message(cause.to_string())),
        }
    }
}
