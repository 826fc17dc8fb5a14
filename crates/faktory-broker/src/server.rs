//! The server: listens, owns the connections' tasks and the core's thread, and ends them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::config::BrokerConfig;
use crate::connection::Connection;
use crate::core::{Core, Event};
use crate::machine::{ConnectionId, Machine};
use crate::store::{FjallStore, StoreError};

/// Events under way from connections to the core.
const EVENTS: usize = 4096;
/// Connections beyond the limit that are being told so, at a time; more are closed without a word.
const REFUSALS_MAX: usize = 64;
/// A client that vanished without a word is noticed after this and three probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Bytes that are not acknowledged for so long end a connection.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long connections may take to send their last answers.
const DRAIN: Duration = Duration::from_secs(6);

/// Why a broker can't start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address can't be listened on.
    #[error("failed to listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store can't be opened, or failed.
    #[error("data folder {1}: {0}")]
    Store(#[source] StoreError, std::path::PathBuf),
    /// A thread can't be started, or ended by itself.
    #[error("the broker's thread failed: {0}")]
    Thread(String),
}

/// A running work server.
pub struct Broker {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    /// `None` once its end has been told.
    core: Option<oneshot::Receiver<Result<(), StoreError>>>,
    data_dir: std::path::PathBuf,
}

impl Broker {
    /// Opens the store, listens, and serves.
    ///
    /// # Errors
    /// Where the store can't be opened or the address can't be listened on.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        let bind = |source| BrokerError::Bind { address: config.bind, source };
        let listener = TcpListener::bind(config.bind).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let data_dir = config.data_dir.clone();
        let (events, received) = flume::bounded(EVENTS);
        let (opened, is_open) = oneshot::channel();
        let (done, core) = oneshot::channel();
        let folder = data_dir.clone();
        let max_queues = config.max_queues;
        // A thread of its own: it blocks on the disk.
        let thread = std::thread::Builder::new().name("broker-core".into()).spawn(move || {
            let mut store = match FjallStore::open(&folder) {
                Ok(store) => store,
                Err(error) => return drop(opened.send(Err(error))),
            };
            match Machine::open(&mut store, fastrand::u64(..), max_queues) {
                Ok(machine) => {
                    let _ = opened.send(Ok(()));
                    let _ = done.send(Core::new(machine, Box::new(store), received).run());
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
        thread.map_err(|error| BrokerError::Thread(error.to_string()))?;
        let ended = || BrokerError::Thread("it ended while opening the store".into());
        is_open
            .await
            .map_err(|_| ended())?
            .map_err(|error| BrokerError::Store(error, data_dir.clone()))?;
        let (stop, stopping) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, Arc::new(config), events, stopping));
        tracing::debug!(%address, data_dir = %data_dir.display(), "broker listens");
        Ok(Self { address, stop, accepting, core: Some(core), data_dir })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it stores.
    #[must_use]
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// Waits until the broker ends by itself, which it does only where its store fails. Cancel
    /// safe.
    pub async fn failed(&mut self) -> BrokerError {
        let Some(core) = &mut self.core else { return std::future::pending().await };
        let ended = core.await;
        self.core = None;
        match ended {
            Ok(Err(error)) => BrokerError::Store(error, self.data_dir.clone()),
            Ok(Ok(())) => BrokerError::Thread("it ended".into()),
            Err(_) => BrokerError::Thread("it panicked".into()),
        }
    }

    /// Ends in order: no new connections, what has been read is answered, every job is on disk.
    ///
    /// # Errors
    /// Where the store failed and [`Broker::failed`] has not told it.
    pub async fn stop(self) -> Result<(), BrokerError> {
        let _ = self.stop.send(true);
        let _ = self.accepting.await;
        let Some(core) = self.core else { return Ok(()) };
        match core.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BrokerError::Store(error, self.data_dir)),
            Err(_) => Err(BrokerError::Thread("it panicked".into())),
        }
    }
}

/// Accepts until told to stop, then sees the connections off.
async fn accept(
    listener: TcpListener,
    config: Arc<BrokerConfig>,
    core: flume::Sender<Event>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut refusals = JoinSet::new();
    let mut last_id = 0;
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
            Some(_) = refusals.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: others have to go first.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "failed to prepare a connection");
            continue;
        }
        last_id += 1;
        let connection = Connection {
            id: ConnectionId(last_id),
            stream,
            config: Arc::clone(&config),
            core: core.clone(),
        };
        if connections.len() < config.max_connections {
            connections.spawn(connection.serve());
        } else if refusals.len() < REFUSALS_MAX {
            refusals.spawn(connection.refuse(config.max_connections + 1));
        }
    }
    drop(listener);
    let _ = core.send_async(Event::ShutDown).await;
    drop(core);
    let _ = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} })
        .await;
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
