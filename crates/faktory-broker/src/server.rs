//! The server: listens, owns the tasks of connections and the thread of the core, and ends them in
//! order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faktory_wire::Excerpt;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::catch_up::{Asked, CatchUp};
use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::connection::{Connection, Passwords, in_steps, input_budget};
use crate::core::{Core, Event};
use crate::machine::{ConnectionId, Machine};
use crate::store::{FjallStore, StoreError};

/// The most events under way from the connections to the core.
const EVENTS_MAX: usize = 4096;
/// The most connections beyond the limit that are being refused at a time. One more is closed
/// without an answer.
const REFUSALS_MAX: usize = 64;
/// The wait after a failure to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The looks for waiting connections, and the time between them, before the listener says that none
/// waits.
const ACCEPT_LOOKS: u32 = 2;
const ACCEPT_LOOK: Duration = Duration::from_millis(10);
/// The idle time before the first TCP probe of a client, and the time between two probes. A client
/// that is gone without a trace is noticed by these probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The longest time that bytes may stay unacknowledged before their connection is ended.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time that connections may take to send their last answers at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);

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
        let listener = TcpListener::bind(config.bind).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let data_dir = config.data_dir.clone();
        let (events, received) = flume::bounded(EVENTS_MAX);
        let (catch_up, asked) = CatchUp::new();
        let (folder, max_queues) = (data_dir.clone(), config.max_queues);
        let core = start_core(folder, max_queues, move |machine, store| {
            Core::new(machine, Box::new(store), received, clock, catch_up)
        });
        let core = core.await?;
        let (stop, stopping) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, Arc::new(config), events, asked, stopping));
        tracing::debug!(%address, data_dir = %Excerpt(data_dir.display()), "the broker listens");
        Ok(Self { address, stop, accepting, core: Some(core), data_dir })
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

    /// Waits until the broker ends by itself, which happens only where the store fails. The future
    /// may be dropped and asked for again.
    pub async fn failed(&mut self) -> BrokerError {
        let Some(core) = &mut self.core else { return std::future::pending().await };
        let ended = core.await;
        self.core = None;
        match ended {
            Ok(Err(error)) => BrokerError::Store(error, self.data_dir.clone()),
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

/// Starts the core on a thread of its own, because the core blocks on the disk, and waits until the
/// store is open. The receiver gets the result of the core when the core ends.
async fn start_core(
    data_dir: PathBuf,
    max_queues: usize,
    core_of: impl FnOnce(Machine, FjallStore) -> Core + Send + 'static,
) -> Result<oneshot::Receiver<Result<(), StoreError>>, BrokerError> {
    let (opened, is_open) = oneshot::channel();
    let (done, core) = oneshot::channel();
    let folder = data_dir.clone();
    let thread = std::thread::Builder::new().name("broker-core".into()).spawn(move || {
        let mut store = match FjallStore::open(&folder) {
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

/// Accepts connections until the broker is told to stop, and then waits for the end of the open
/// ones.
async fn accept(
    listener: TcpListener,
    config: Arc<BrokerConfig>,
    core: flume::Sender<Event>,
    mut asked: Asked,
    mut stopping: watch::Receiver<bool>,
) {
    let input = input_budget(&config);
    let mut connections = JoinSet::new();
    let mut refusals = JoinSet::new();
    let passwords = Passwords::new(&config).map(Arc::new);
    let mut last_id = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            Some(_) = refusals.join_next() => continue,
            accepted = listener.accept() => accepted,
            () = say_when_none_waits(&mut asked, &core) => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // The usual reason is a lack of file descriptors: other connections must end first.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "failed to set the options of a new connection");
            continue;
        }
        last_id += 1;
        let (config, core) = (Arc::clone(&config), core.clone());
        let max_connections = config.max_connections;
        let (arriving, asked) = (asked.arriving(), asked.for_connection());
        let (id, passwords, input) = (ConnectionId(last_id), passwords.clone(), input.clone());
        let connection = Connection { id, stream, config, passwords, core, asked, input };
        if connections.len() < max_connections {
            connections.spawn(connection.serve(arriving));
        } else if refusals.len() < REFUSALS_MAX {
            refusals.spawn(connection.refuse(max_connections + 1, arriving));
        }
    }
    drop(listener);
    let _ = core.send_async(Event::ShutDown).await;
    drop(core);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let _ = in_steps(DRAIN_TIMEOUT, std::pin::pin!(all_ended)).await;
}

/// Waits until the core asks whether all connections that wait have been accepted, and tells it
/// when that is so: to be polled where no connection is there to be accepted. Cancel safe.
async fn say_when_none_waits(asked: &mut Asked, core: &flume::Sender<Event>) {
    let round = asked.next().await;
    // The runtime lets time pass only after it has asked the system for new connections.
    for _ in 0..ACCEPT_LOOKS {
        tokio::time::sleep(ACCEPT_LOOK).await;
    }
    let _ = core.send_async(Event::Accepted { round }).await;
    asked.answer();
}

/// Sets the options of a new connection.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests;
