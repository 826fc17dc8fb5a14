//! The running service: listens, owns the connections' tasks, and ends them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{LinkConfig, LinkPool, Observer, PoolFailure, Pusher};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::{self, Access};
use crate::body::BUDGET_BYTES;
use crate::budget::Budget;
use crate::config::ApiConfig;
use crate::health::{self, Health};
use crate::metrics::Metrics;
use crate::queue_names::QueueNames;
use crate::routes;
use crate::state::{Ending, SharedState, State};
use crate::stream::Streams;

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// Time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a client is asked whether it is still there.
const CLIENT_IDLE: Duration = Duration::from_secs(60);
/// Time for the last answers to leave, after the time for the requests is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address can't be listened on.
    #[error("failed to listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The pool of connections can't be made.
    #[error(transparent)]
    Pool(#[from] PoolFailure),
}

/// A running API.
pub struct Api {
    address: SocketAddr,
    state: SharedState,
    pool: LinkPool,
    probing: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    reload: JoinHandle<()>,
    serving: JoinHandle<()>,
}

impl Api {
    /// Listens and serves. Does not wait for the work server: `/ready` tells whether it is there.
    ///
    /// # Errors
    /// Where the address can't be listened on.
    pub async fn start(config: ApiConfig) -> Result<Self, ApiError> {
        let bind = |source| ApiError::Bind { address: config.bind, source };
        let listener = TcpListener::bind(config.bind).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let metrics = Arc::new(Metrics::new());
        let observer: Arc<dyn Observer> = metrics.clone();
        let pool = LinkPool::new(LinkConfig { observer: Some(observer), ..config.link.clone() })?;
        let state = Arc::new(State {
            body_budget: Budget::new(BUDGET_BYTES.max(config.max_body_bytes)),
            streams: Streams::default(),
            pusher: Pusher::new(pool.clone()),
            health: Health::default(),
            metrics,
            queues: QueueNames::new(config.max_queues),
            ending: watch::Sender::new(Ending::No),
            access: Access::new(&config.access, address),
            config,
        });
        let probing = tokio::spawn(health::probe(Arc::clone(&state), pool.clone()));
        let upkeep = tokio::spawn(service_runtime::metrics::upkeep());
        let reload = tokio::spawn(reload(Arc::clone(&state)));
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        tracing::info!(%address, "the API listens");
        Ok(Self { address, state, pool, probing, upkeep, reload, serving })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends in order: no new requests; those in flight get `timeout`, and then an answer that says
    /// how it stands with them.
    pub async fn stop(self, timeout: Duration) {
        self.state.ending.send_replace(Ending::Begun);
        let mut serving = self.serving;
        if tokio::time::timeout(timeout, &mut serving).await.is_err() {
            self.state.ending.send_replace(Ending::TimeIsUp);
            self.state.pusher.abandon();
            let _ = tokio::time::timeout(LAST_WORDS, &mut serving).await;
            serving.abort();
        }
        self.probing.abort();
        self.upkeep.abort();
        self.reload.abort();
        self.state.streams.end().await;
        let _ = tokio::time::timeout(LAST_WORDS, self.state.pusher.close()).await;
        self.pool.close();
        tracing::info!("the API has ended");
    }
}

/// Follows the files of keys and certificates.
async fn reload(state: SharedState) {
    let certificate = async {
        if let Some(tls) = state.config.tls.clone() {
            tls.reload("API_TLS_CERT_FILE").await;
        }
    };
    tokio::join!(certificate, access::reload(Arc::clone(&state)));
}

/// Serves until the end has begun, then until the last connection is done.
async fn serve(listener: TcpListener, state: SharedState) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut ending = state.ending.subscribe();
    let service = TowerToHyperService::new(routes::router(Arc::clone(&state)));
    let tls = state.config.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config(&[b"http/1.1"])));
    loop {
        let accepted = tokio::select! {
            _ = ending.wait_for(|ending| *ending != Ending::No) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, client, place)) = accepted else { continue };
        if let Err(error) = prepare(&stream, state.config.request_timeout) {
            tracing::debug!(%error, "failed to prepare a connection");
            continue;
        }
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        let (service, watcher, tls) = (service.clone(), graceful.watcher(), tls.clone());
        let mut ending = state.ending.subscribe();
        connections.spawn(async move {
            let result = match tls {
                None => watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await,
                Some(tls) => {
                    let agreed = tokio::select! {
                        agreed = tokio::time::timeout(HEAD_TIMEOUT, accept_tls(&tls, stream)) => agreed,
                        // Nothing has been asked for yet.
                        _ = ending.wait_for(|ending| *ending != Ending::No) => return,
                    };
                    match agreed {
                        Ok(Ok(Begun::Tls(stream))) => watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await,
                        Ok(Ok(Begun::Plainly(stream))) => {
                            let service = TowerToHyperService::new(routes::without_tls());
                            watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await
                        }
                        Ok(Err(error)) if error.get_ref().is_some_and(|cause| cause.is::<tokio_rustls::rustls::Error>()) => {
                            return tracing::info!(%client, %error, "a client failed to agree on TLS");
                        }
                        // Who only looks whether the port is open says nothing.
                        Ok(Err(error)) => return tracing::debug!(%client, %error, "a client left before TLS"),
                        Err(_) => return tracing::debug!(%client, "a client took too long to agree on TLS"),
                    }
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "a client's connection ended badly");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

/// How a client began, where TLS is spoken.
enum Begun {
    Tls(Box<TlsStream<TcpStream>>),
    /// With a request in the clear, which is still to be read.
    Plainly(TcpStream),
}

async fn accept_tls(tls: &TlsAcceptor, stream: TcpStream) -> std::io::Result<Begun> {
    let mut first = [0];
    // Methods are letters (RFC 9110, 9.1); TLS begins with 22 (RFC 8446, 5.1).
    if stream.peek(&mut first).await? == 1 && first.iter().all(u8::is_ascii_alphabetic) {
        return Ok(Begun::Plainly(stream));
    }
    Ok(Begun::Tls(Box::new(tls.accept(stream).await?)))
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, client)) => Some((stream, client, place)),
        Err(error) => {
            // Out of file descriptors, mostly: others have to go first.
            tracing::warn!(%error, "failed to accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

fn prepare(stream: &TcpStream, user_timeout: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    // A client that reads nothing of its answer does not hold its place for ever.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout))?;
    // A stream may be silent for as long as its client likes, but not without a client.
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(CLIENT_IDLE))?;
    Ok(())
}
