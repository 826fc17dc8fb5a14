//! The connections to one work server, held by deadpool.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::managed::{self, Hook, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};

use faktory_wire::{Command, Reply};
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::{LinkError, Phase};
use crate::observer::Observer;

/// A connection held; back in the pool when dropped.
pub type Pooled = Object<Manager>;

/// Makes connections, and tells dead ones apart.
#[derive(Debug)]
pub struct Manager {
    config: LinkConfig,
    ready_made: Arc<ReadyMade>,
}

/// Connections that were made outside of the pool and go into it as new ones.
#[derive(Debug, Default)]
struct ReadyMade {
    connections: Mutex<Vec<Connection>>,
    /// Made so far, in the pool or outside.
    connected: AtomicU64,
}

impl ReadyMade {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.ready_made.connected.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
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
    breaker: Arc<Breaker>,
    observer: Option<Arc<dyn Observer>>,
    max_wait: Duration,
    config: LinkConfig,
    ready_made: Arc<ReadyMade>,
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
        let ready_made = Arc::new(ReadyMade::default());
        let breaker = Arc::new(Breaker::new(config.breaker_failures, config.breaker_open_for));
        let (observer, max_wait) = (config.observer.clone(), config.max_wait);
        let pool = Pool::builder(Manager { config: config.clone(), ready_made: Arc::clone(&ready_made) })
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
        Ok(Self { pool, breaker, observer, max_wait, config, ready_made })
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

    /// Connections that are there and held by nobody.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.pool.status().available
    }

    /// Connections made so far.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.ready_made.connected.load(Ordering::Relaxed)
    }

    /// Asks the work server for an answer, with `PUSHB []`, because INFO can crash a Faktory. The breaker learns from it, and is asked
    /// first: while it is open, only one probe at a time goes out, when it is time for it; `None` where it is not. Where there is no
    /// connection, the question goes along with a new one's HELLO.
    ///
    /// # Errors
    /// With why no answer came, for a person.
    pub async fn probe(&self) -> Option<Result<(), String>> {
        if self.breaker.check(Instant::now()).is_err() && !self.breaker.may_probe(Instant::now()) {
            return None;
        }
        Some(if self.idle() == 0 && self.size() < self.max_size() { self.probe_anew().await } else { self.probe_again().await })
    }

    async fn probe_anew(&self) -> Result<(), String> {
        match Connection::open_and_probe(&self.config).await {
            Ok(connection) => {
                self.breaker.succeeded();
                self.ready_made.connected.fetch_add(1, Ordering::Relaxed);
                let spare = {
                    let mut connections = self.ready_made.connections();
                    // One at the most: what stands outside of the pool is not counted by it.
                    let spare = connections.pop();
                    connections.push(connection);
                    spare
                };
                drop(spare);
                Ok(())
            }
            Err(error) => {
                self.breaker.failed(None, Instant::now());
                Err(error.to_string())
            }
        }
    }

    async fn probe_again(&self) -> Result<(), String> {
        let asked = async {
            let connection = self.get().await.map_err(|error| (error.to_string(), None))?;
            let lost = |lost: crate::error::Lost| (lost.to_string(), Some(lost.cause));
            let pending = connection.submit(Command::PushBulk(Vec::new()).to_line()).await.map_err(lost)?;
            drop(connection);
            pending.await.map_err(lost)
        };
        match asked.await {
            Ok(reply) => {
                self.breaker.succeeded();
                match reply {
                    Reply::Bulk(_) => Ok(()),
                    other => Err(format!("it answered {other:?} to an empty push")),
                }
            }
            Err::<_, (String, Option<Arc<LinkError>>)>((why, cause)) => {
                self.breaker.failed(cause.as_ref(), Instant::now());
                Err(why)
            }
        }
    }

    /// Resolves when the circuit opens, at once where it is open. Cancel safe.
    pub async fn until_circuit_opens(&self) {
        self.breaker.until_open().await;
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(crate) const fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.as_ref()
    }

    pub(crate) const fn max_wait(&self) -> Duration {
        self.max_wait
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
}
