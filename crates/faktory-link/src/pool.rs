//! The connections to one work server, held by deadpool.

use std::sync::Arc;

use deadpool::managed::{self, Hook, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};

use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::{LinkError, Phase};

/// A connection held; back in the pool when dropped.
pub type Pooled = Object<Manager>;

/// Makes connections, and tells dead ones apart.
#[derive(Debug)]
pub struct Manager {
    config: LinkConfig,
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = LinkError;

    async fn create(&self) -> Result<Connection, LinkError> {
        Connection::open(&self.config, None).await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<LinkError> {
        match connection.ended() {
            None => Ok(()),
            Some(cause) => Err(RecycleError::message(cause.to_string())),
        }
    }
}

/// The pool. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct LinkPool {
    pool: Pool<Manager>,
}

/// Why the pool gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum PoolFailure {
    /// One could not be made.
    #[error(transparent)]
    Connect(#[from] LinkError),
    /// The pool can't be built or is closed.
    #[error("the pool gives no connections: {0}")]
    Pool(String),
}

impl LinkPool {
    /// An empty pool; connections are made when they are needed, or by [`LinkPool::warm_up`].
    ///
    /// # Errors
    /// Where deadpool refuses the settings.
    pub fn new(config: LinkConfig) -> Result<Self, PoolFailure> {
        let limit = config.connect_timeout;
        // Each phase of making a connection has its own deadline inside; the pool's is their sum.
        let timeouts = Timeouts { wait: Some(limit), create: Some(limit * 4), recycle: Some(limit) };
        let pool = Pool::builder(Manager { config: config.clone() })
            .max_size(config.max_connections.max(1))
            .timeouts(timeouts)
            .runtime(deadpool::Runtime::Tokio1)
            // The one that has rested longest is next, so that commands spread over all.
            .queue_mode(QueueMode::Fifo)
            .post_create(Hook::sync_fn(|_, _| {
                tracing::debug!("connection to the work server opened");
                Ok(())
            }))
            .build()
            .map_err(|error| PoolFailure::Pool(error.to_string()))?;
        Ok(Self { pool })
    }

    /// A connection, an idle one or a new one. Cancel safe.
    ///
    /// # Errors
    /// Where none can be made, or none becomes free in time.
    pub async fn get(&self) -> Result<Pooled, PoolFailure> {
        let limit = self.pool.timeouts().wait.unwrap_or_default();
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => PoolFailure::Connect(error),
            PoolError::Timeout(managed::TimeoutType::Wait) => LinkError::Timeout { phase: Phase::Pool, after: limit }.into(),
            PoolError::Timeout(_) => LinkError::Timeout { phase: Phase::Connect, after: limit * 4 }.into(),
            other => PoolFailure::Pool(other.to_string()),
        })
    }

    /// Opens connections ahead of need, several at once, until so many are there; fewer where the server gives no more.
    /// Returns how many are there.
    pub async fn warm_up(&self, connections: usize) -> usize {
        let wanted = connections.min(self.pool.status().max_size);
        // Held together, because the pool makes a new one only where none is idle.
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..wanted {
            let pool = self.clone();
            opening.spawn(async move { pool.get().await.ok() });
        }
        let mut held = Vec::new();
        while let Some(opened) = opening.join_next().await {
            held.extend(opened.ok().flatten());
        }
        held.len()
    }

    /// Connections that there may be.
    #[must_use]
    pub fn max_size(&self) -> usize {
        self.pool.status().max_size
    }

    /// Connections there are, idle or held.
    #[must_use]
    pub fn size(&self) -> usize {
        self.pool.status().size
    }

    /// Gives no more connections; idle ones are closed.
    pub fn close(&self) {
        self.pool.close();
    }
}

impl PoolFailure {
    /// True where the server was reached and does not want us.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Connect(LinkError::Refused(_) | LinkError::PasswordNeeded))
    }

    /// True where all connections were busy for the whole wait.
    #[must_use]
    pub const fn is_exhaustion(&self) -> bool {
        matches!(self, Self::Connect(LinkError::Timeout { phase: Phase::Pool, .. }))
    }

    /// The text behind an [`Arc`], for all who share the failure.
    pub(crate) fn shared_text(&self) -> Arc<str> {
        self.to_string().into()
    }
}
