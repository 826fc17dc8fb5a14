//! The connections to one work server, held by deadpool.

mod failure;
mod manager;
mod probe;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::managed::{Hook, Object, Pool, PoolError, QueueMode, TimeoutType, Timeouts};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use self::failure::PoolFailure;
use self::manager::{Manager, ReadyMade};
use crate::breaker::Breaker;
use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::{LinkError, Phase};
use crate::observer::Observer;
use crate::reply_budget::ReplyBudget;

/// A connection on loan from the pool; dropped, it goes back into the pool.
pub type Pooled = Object<Manager>;

/// The pool of connections to one work server. Cheap to clone: all clones are the same pool.
#[derive(Debug, Clone)]
pub struct LinkPool {
    pool: Pool<Manager>,
    breaker: Arc<Breaker>,
    observer: Option<Arc<dyn Observer>>,
    max_wait: Duration,
    config: LinkConfig,
    ready_made: Arc<ReadyMade>,
    /// The tasks that close retired connections, once the last reply on them has come.
    closing: Arc<Mutex<JoinSet<()>>>,
    /// Notified when a connection has gone back into the pool.
    returned: Arc<Notify>,
}

/// The largest reply on a connection of a pool. The largest is that to a push: an error for each of
/// a few thousand jobs, each with some hundred bytes.
const REPLY_MAX: usize = 8 << 20;

/// The configuration with bounds for the replies of a pool.
fn bounded(mut config: LinkConfig) -> LinkConfig {
    config.reply_limit = config.reply_limit.min(REPLY_MAX);
    let own = || Arc::new(ReplyBudget::new(config.reply_limit));
    config.reply_budget = Some(config.reply_budget.take().unwrap_or_else(own));
    config
}

impl LinkPool {
    /// An empty pool; connections are made when they are needed, or by [`LinkPool::warm_up`].
    ///
    /// # Errors
    /// Where deadpool refuses the settings.
    pub fn new(config: LinkConfig) -> Result<Self, PoolFailure> {
        let limit = config.connect_timeout;
        let config = bounded(config);
        // Each phase of making a connection has its own deadline, which looks at the socket before
        // it is judged; recycling waits for nothing.
        let timeouts = Timeouts { wait: Some(limit), create: None, recycle: None };
        let ready_made = Arc::new(ReadyMade::default());
        let breaker = Arc::new(Breaker::new(config.breaker_failures, config.breaker_open_for));
        let (observer, max_wait) = (config.observer.clone(), config.max_wait);
        let pool = Pool::builder(Manager::new(config.clone(), Arc::clone(&ready_made)))
            .max_size(config.max_connections.max(1))
            .timeouts(timeouts)
            .runtime(deadpool::Runtime::Tokio1)
            // The connection that has been idle longest is next, so that commands spread over all.
            .queue_mode(QueueMode::Fifo)
            .post_create(Hook::sync_fn(|_, _| {
                tracing::debug!("connection to the work server opened");
                Ok(())
            }))
            .build()
            .map_err(|error| PoolFailure::Pool(error.to_string()))?;
        let (closing, returned) = (Arc::default(), Arc::default());
        Ok(Self { pool, breaker, observer, max_wait, config, ready_made, closing, returned })
    }

    /// A connection, an idle one or a new one. Cancel safe.
    ///
    /// # Errors
    /// Where no connection can be made, or none becomes free in time.
    pub async fn get(&self) -> Result<Pooled, PoolFailure> {
        let limit = self.pool.timeouts().wait.unwrap_or_default();
        let mut connection = self.pool.get().await;
        if let Err(PoolError::Timeout(TimeoutType::Wait)) = connection {
            // The process may have been stopped, and connections become free when what lies in
            // their sockets is read.
            deadline::turns().await;
            let at_once = Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() };
            connection = self.pool.timeout_get(&at_once).await;
        }
        connection.map_err(|error| match error {
            PoolError::Backend(error) => PoolFailure::Connect(error),
            PoolError::Timeout(TimeoutType::Wait) => {
                LinkError::Timeout { phase: Phase::Pool, after: limit }.into()
            }
            other => PoolFailure::Pool(other.to_string()),
        })
    }

    /// Opens connections ahead of need, several at once, until `connections` exist; fewer where the
    /// server accepts no more. Existing connections stay free for other callers meanwhile. Returns
    /// the number of connections. Cancel safe: where the future is dropped, connections that are
    /// not yet open are given up.
    pub async fn warm_up(&self, connections: usize) -> usize {
        self.take_in();
        let existing = self.size() + self.ready_made.connections().len();
        let missing = connections.min(self.max_size()).saturating_sub(existing);
        let mut opening = JoinSet::new();
        for _ in 0..missing {
            let config = self.config.clone();
            opening.spawn(async move { Connection::open(&config, None).await });
        }
        while let Some(opened) = opening.join_next().await {
            match opened {
                Ok(Ok(connection)) => self.add(connection),
                Ok(Err(failure)) => {
                    tracing::debug!(%failure, "a connection ahead of need could not be made")
                }
                Err(_) => {}
            }
        }
        self.size()
    }

    /// Puts a connection that was made outside into the pool; closes the connection where the pool
    /// is full.
    fn add(&self, connection: Connection) {
        self.ready_made.count(&connection);
        self.ready_made.connections().push(connection);
        self.take_in();
    }

    /// Lets the pool take in the connections that were made outside. The pool makes a connection
    /// only where none is idle, so all idle connections are held for that moment, without waiting
    /// for anything. Where all connections are in use, the pool takes in a connection when it needs
    /// the next one.
    fn take_in(&self) {
        self.ready_made.connections().retain(|connection| connection.ended().is_none());
        let mut held = Vec::new();
        while self.size() < self.max_size() && !self.ready_made.connections().is_empty() {
            // Without `unconstrained`, Tokio would make the task wait for others after some of
            // these calls.
            let Some(Ok(connection)) = tokio::task::unconstrained(self.get()).now_or_never() else {
                break;
            };
            held.push(connection);
        }
        if self.size() >= self.max_size() {
            let spare = std::mem::take(&mut *self.ready_made.connections());
            drop(spare);
        }
        drop(held);
        // Another caller may have found no idle connection in that moment.
        self.returned.notify_one();
    }

    /// Retires all connections, idle or not: no further command is sent over them. Commands in
    /// flight on a connection that still works are answered.
    fn retire_all(&self) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        while closing.try_join_next().is_some() {}
        for connection in self.pool.retain(|_, _| false).removed {
            if !connection.is_quiet() {
                closing.spawn(connection.close());
            }
        }
    }

    /// Connections that the pool may have.
    #[must_use]
    pub fn max_size(&self) -> usize {
        self.pool.status().max_size
    }

    /// Connections that the pool has, idle or on loan.
    #[must_use]
    pub fn size(&self) -> usize {
        self.pool.status().size
    }

    /// Idle connections.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.pool.status().available
    }

    /// Connections made so far.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.ready_made.connected()
    }

    /// The seconds for which the work server remembers the ids of pushed jobs, as the connection
    /// that was made last was told: 0 where it remembers none, as Faktory. `None` before the first
    /// connection.
    #[must_use]
    pub fn once(&self) -> Option<u32> {
        self.ready_made.once()
    }

    /// Resolves when the circuit opens, at once where the circuit is open. Cancel safe.
    pub async fn until_circuit_opens(&self) {
        self.breaker.until_open().await;
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(crate) const fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.as_ref()
    }

    /// Notified when a connection has gone back into the pool.
    pub(crate) const fn returned(&self) -> &Arc<Notify> {
        &self.returned
    }

    pub(crate) const fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Gives out no more connections; idle ones are closed.
    pub fn close(&self) {
        self.pool.close();
    }
}
