//! The connections to one work server, held by deadpool.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::managed::{
    self, Hook, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
};

use faktory_wire::{Command, Reply};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::config::LinkConfig;
use crate::connection::Connection;
use crate::error::{LinkError, Phase};
use crate::observer::Observer;

/// A probe over a connection that is there is answered by then, or has failed.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

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
    /// Connections that are used no more and still wait for replies.
    closing: Arc<Mutex<JoinSet<()>>>,
    /// A connection has gone back into the pool.
    returned: Arc<Notify>,
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
        let timeouts =
            Timeouts { wait: Some(limit), create: Some(limit * 4), recycle: Some(limit) };
        let ready_made = Arc::new(ReadyMade::default());
        let breaker = Arc::new(Breaker::new(config.breaker_failures, config.breaker_open_for));
        let (observer, max_wait) = (config.observer.clone(), config.max_wait);
        let pool =
            Pool::builder(Manager { config: config.clone(), ready_made: Arc::clone(&ready_made) })
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
        let (closing, returned) = (Arc::default(), Arc::default());
        Ok(Self { pool, breaker, observer, max_wait, config, ready_made, closing, returned })
    }

    /// A connection, an idle one or a new one. Cancel safe.
    ///
    /// # Errors
    /// Where none can be made, or none becomes free in time.
    pub async fn get(&self) -> Result<Pooled, PoolFailure> {
        let limit = self.pool.timeouts().wait.unwrap_or_default();
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => PoolFailure::Connect(error),
            PoolError::Timeout(managed::TimeoutType::Wait) => {
                LinkError::Timeout { phase: Phase::Pool, after: limit }.into()
            }
            PoolError::Timeout(_) => {
                LinkError::Timeout { phase: Phase::Connect, after: limit * 4 }.into()
            }
            other => PoolFailure::Pool(other.to_string()),
        })
    }

    /// Opens connections ahead of need, several at once, until so many are there; fewer where the
    /// server gives no more. Those that are there stay free for others meanwhile. Returns how many
    /// there are. Cancel safe: dropped, those under way are given up.
    pub async fn warm_up(&self, connections: usize) -> usize {
        self.take_in();
        let there = self.size() + self.ready_made.connections().len();
        let missing = connections.min(self.max_size()).saturating_sub(there);
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

    /// Puts a connection that was made outside into the pool; closes it where that is full.
    fn add(&self, connection: Connection) {
        self.ready_made.connected.fetch_add(1, Ordering::Relaxed);
        self.ready_made.connections().push(connection);
        self.take_in();
    }

    /// Has the pool take in what was made outside. It makes a new one only where none is idle, so
    /// all that are idle are held for the moment that it takes, without waiting for anything; where
    /// all are in use, it takes them in when it needs the next.
    fn take_in(&self) {
        self.ready_made.connections().retain(|connection| connection.ended().is_none());
        let mut held = Vec::new();
        while self.size() < self.max_size() && !self.ready_made.connections().is_empty() {
            // Tokio would else have the task wait for others after some of these.
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
        // Somebody may have found none idle meanwhile.
        self.returned.notify_one();
    }

    /// Has those that are there used no more, idle or not. What is in flight on them is still
    /// answered, if they live.
    fn replace_all(&self) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        while closing.try_join_next().is_some() {}
        for connection in self.pool.retain(|_, _| false).removed {
            if !connection.is_quiet() {
                closing.spawn(connection.close());
            }
        }
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

    /// Asks the work server for an answer, with `PUSHB []`, because INFO can crash a Faktory. The
    /// breaker learns from it, and is asked first: while it is open, only one probe at a time goes
    /// out, when it is time for it; `None` where it is not. Where there is no connection, the
    /// question goes along with a new one's HELLO.
    ///
    /// # Errors
    /// With why no answer came, for a person.
    pub async fn probe(&self) -> Option<Result<(), String>> {
        let is_closed = self.breaker.check(Instant::now()).is_ok();
        if !is_closed && !self.breaker.may_probe(Instant::now()) {
            return None;
        }
        // While it is open, connections that seem to live may be dead without a sign.
        let anew = !is_closed || (self.idle() == 0 && self.size() < self.max_size());
        Some(if anew { self.probe_anew(!is_closed).await } else { self.probe_again().await })
    }

    async fn probe_anew(&self, others_may_be_dead: bool) -> Result<(), String> {
        match Connection::open_and_probe(&self.config).await {
            Ok(connection) => {
                if others_may_be_dead {
                    self.replace_all();
                }
                self.breaker.succeeded();
                self.add(connection);
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
            let pending =
                connection.submit(Command::PushBulk(Vec::new()).to_line()).await.map_err(lost)?;
            drop(connection);
            pending.within(PROBE_WITHIN).await.map_err(lost)
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

    /// Told when a connection has gone back.
    pub(crate) const fn returned(&self) -> &Arc<Notify> {
        &self.returned
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
