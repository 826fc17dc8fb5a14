//! The server: listens, owns the tasks of connections and the thread of the core, and ends them in
//! order. How connections are accepted is in `server/accept.rs`.

mod accept;
mod backlog;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faktory_wire::Excerpt;
use journal::Wake;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::catch_up::CatchUp;
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::core::{AwaitsStore, Core, Event};
use crate::machine::Machine;
use crate::store::{GroundStore, StoreError};
use crate::turned_away::TurnedAway;
use accept::Accept;

/// The most events under way from the connections to the core.
const EVENTS_MAX: usize = 4096;

/// The reason why a broker can't start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker can't listen on the address.
    #[error("failed to listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The store can't be opened, or failed.
    #[error("data folder {1}: {0}")]
    Store(#[source] StoreError, PathBuf),
    /// The thread of the core can't be started, or ended by itself.
    #[error("the broker's thread failed: {0}")]
    Thread(String),
}

/// A running broker. It ends by [`Broker::stop`], which waits for the last answers.
pub struct Broker {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    /// The result of the core; `None` once [`Broker::failed`] has reported its end.
    core: Option<oneshot::Receiver<Result<(), StoreError>>>,
    data_dir: PathBuf,
    turned_away: Arc<TurnedAway>,
}

impl Broker {
    /// Opens the store, listens, and serves clients.
    ///
    /// # Errors
    /// Where the store can't be opened, or the broker can't listen on the address.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        Self::start_at(config, Clock::system()).await
    }

    /// Starts a broker whose core goes by `clock`.
    pub(crate) async fn start_at(config: BrokerConfig, clock: Clock) -> Result<Self, BrokerError> {
        let bind = |source| BrokerError::Bind { address: config.bind, source };
        let listener = listener::listen(config.bind).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let data_dir = config.data_dir.clone();
        let (events, received) = flume::bounded(EVENTS_MAX);
        let (catch_up, asked) = CatchUp::new(config.handshake_timeout);
        let turned_away = Arc::new(TurnedAway::new(&config));
        let counted = Arc::clone(&turned_away);
        let (folder, max_queues) = (data_dir.clone(), config.max_queues);
        let (min_free, ids) = (config.min_free_bytes, config.ids);
        let awaits_store = Arc::new(AwaitsStore::default());
        let wake = wake(events.downgrade(), Arc::clone(&awaits_store));
        let core = start_core(folder, max_queues, wake, move |mut machine, store| {
            machine.remember_ids(ids);
            let store = Box::new(store);
            let core = Core::new(machine, store, received, clock, catch_up, counted, awaits_store);
            core.keep_free(min_free)
        });
        let core = core.await?;
        let (stop, stopping) = watch::channel(false);
        let accept = Accept::new(config, events, asked, Arc::clone(&turned_away));
        let accepting = tokio::spawn(accept.run(listener, stopping));
        tracing::debug!(%address, data_dir = %Excerpt(data_dir.display()), "the broker listens");
        Ok(Self { address, stop, accepting, core: Some(core), data_dir, turned_away })
    }

    /// The address on which the broker listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of the store.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The connections that were turned away since the start.
    #[must_use]
    pub fn turned_away(&self) -> &TurnedAway {
        &self.turned_away
    }

    /// Waits until the broker ends by itself, which happens only where the store fails, or a task
    /// or thread by a fault of this crate. The future may be dropped and asked for again.
    pub async fn failed(&mut self) -> BrokerError {
        let Some(core) = &mut self.core else { return std::future::pending().await };
        let ended = core.await;
        self.core = None;
        match ended {
            Ok(Err(error)) => BrokerError::Store(error, self.data_dir.clone()),
            // Its end is that of all connections, and with them of the core.
            Ok(Ok(())) if self.accepting.is_finished() => {
                BrokerError::Thread("the task that accepts connections ended".into())
            }
            Ok(Ok(())) => BrokerError::Thread("the thread ended".into()),
            Err(_) => BrokerError::Thread("the thread panicked".into()),
        }
    }

    /// Ends the broker in order. No more connections are accepted. Commands that have been carried
    /// out are answered, and every accepted job is on disk. A FETCH that waits and a MUTATE that
    /// is not finished are answered with an error. Later commands are not carried out.
    ///
    /// # Errors
    /// Where the store failed and [`Broker::failed`] has not reported the failure.
    pub async fn stop(self) -> Result<(), BrokerError> {
        let _ = self.stop.send(true);
        let _ = self.accepting.await;
        let Some(core) = self.core else { return Ok(()) };
        match core.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BrokerError::Store(error, self.data_dir)),
            Err(_) => Err(BrokerError::Thread("the thread panicked".into())),
        }
    }
}

/// Tells the core that more is durable, where it waits for that. A full channel wakes it anyway.
fn wake(events: flume::WeakSender<Event>, awaits_store: Arc<AwaitsStore>) -> Wake {
    Arc::new(move || {
        if awaits_store.take()
            && let Some(events) = events.upgrade()
        {
            let _ = events.try_send(Event::Durable);
        }
    })
}

/// Starts the core on a thread of its own, because the core blocks on the disk, and waits until the
/// store is open. The receiver gets the result of the core when the core ends.
async fn start_core(
    data_dir: PathBuf,
    max_queues: usize,
    wake: Wake,
    core_of: impl FnOnce(Machine, GroundStore) -> Core + Send + 'static,
) -> Result<oneshot::Receiver<Result<(), StoreError>>, BrokerError> {
    let (opened, is_open) = oneshot::channel();
    let (done, core) = oneshot::channel();
    let folder = data_dir.clone();
    let thread = std::thread::Builder::new().name("broker-core".into()).spawn(move || {
        let mut store = match GroundStore::open(&folder, wake) {
            Ok(store) => store,
            Err(error) => return drop(opened.send(Err(error))),
        };
        match Machine::open(&mut store, fastrand::u64(..), max_queues) {
            Ok(machine) => {
                let _ = opened.send(Ok(()));
                let _ = done.send(core_of(machine, store).run());
            }
            Err(error) => drop(opened.send(Err(error))),
        }
    });
    thread.map_err(|error| BrokerError::Thread(error.to_string()))?;
    match is_open.await {
        Ok(Ok(())) => Ok(core),
        Ok(Err(error)) => Err(BrokerError::Store(error, data_dir)),
        Err(_) => Err(BrokerError::Thread("the thread ended while it opened the store".into())),
    }
}

#[cfg(test)]
mod tests;
