//! The loop that accepts connections, up to a bound, until the service shuts down; it decides
//! which connection makes room for a new one.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use admission::{Entry, PlaceLimits, Places};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::logs::{self, Logs};
use crate::routes::{self, HttpService};
use crate::state::SharedState;

/// The most connections without a place that are being answered at a time. One more is closed
/// without an answer.
const REFUSALS_MAX: usize = 64;
/// The silence after which the system checks whether the client still exists.
const CLIENT_IDLE: Duration = Duration::from_secs(60);
/// The pause after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How often the counts are logged that no line has told.
const LOG_DUE_EVERY: Duration = Duration::from_secs(1);

/// Serves until the shutdown has begun, then until the last connection has ended.
pub(super) async fn serve(listener: TcpListener, state: SharedState) {
    let service = routes::api(&state);
    let refusal = routes::without_place(SharedState::clone(&state));
    let mut server = Server::new(state, service, refusal);
    let state = SharedState::clone(&server.state);
    let mut shutdown = pin!(state.lifecycle.shutdown_begins());
    let mut log_due = tokio::time::interval(LOG_DUE_EVERY);
    log_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            _ = log_due.tick() => {
                server.log_due();
                continue;
            }
            Some(_) = server.connections.join_next() => continue,
            Some(_) = server.refusals.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => server.admit(stream, client).await,
            Err(error) => {
                // A lack of file descriptors, or of memory: other connections have to end first.
                server.logs.note_failed(&error, logs::now());
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    let Server { graceful, mut connections, mut refusals, .. } = server;
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
    while refusals.join_next().await.is_some() {}
}

/// What the loop needs, with the service for connections that have a place and the one for those
/// that have none.
struct Server<S, R> {
    state: SharedState,
    service: S,
    refusal: R,
    tls: Option<TlsAcceptor>,
    graceful: GracefulShutdown,
    places: Arc<Places<oneshot::Sender<()>>>,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
    logs: Logs,
}

impl<S: HttpService, R: HttpService> Server<S, R> {
    fn new(state: SharedState, service: S, refusal: R) -> Self {
        let tls = state.config.api.tls.as_ref();
        let limits = PlaceLimits::of_total(state.config.max_connections);
        Self {
            tls: tls.map(|tls| TlsAcceptor::from(tls.config(&[b"http/1.1"]))),
            places: Places::new(limits, state.config.trusted.clone(), fastrand::u64(..)),
            state,
            service,
            refusal,
            graceful: GracefulShutdown::new(),
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
            logs: Logs::new(limits),
        }
    }

    /// Gives a connection a place, or refuses it.
    async fn admit(&mut self, stream: TcpStream, client: SocketAddr) {
        if let Err(error) = configure(&stream, self.state.config.api.request_timeout) {
            tracing::debug!(%error, "failed to set the options of a client's socket");
            return;
        }
        let now = logs::now();
        let (stop, lost) = oneshot::channel();
        match self.places.enter(client.ip(), stop, now) {
            Entry::Admitted { place, instead_of } => {
                let connection = self.connection(client, self.service.clone());
                self.connections.spawn(connection.run(stream, self.tls.clone(), place, lost));
                if let Some(stop) = instead_of {
                    let _ = stop.send(());
                    self.state.figures.made_room();
                    self.logs.note_made_room(now);
                    // The connection that was closed gives its descriptor back first.
                    tokio::task::yield_now().await;
                }
            }
            Entry::Full => {
                self.state.figures.too_many();
                self.logs.note_too_many(now);
                if self.refusals.len() < REFUSALS_MAX {
                    let connection = self.connection(client, self.refusal.clone());
                    self.refusals.spawn(connection.refuse(stream, self.tls.clone()));
                }
            }
        }
    }

    fn connection<T>(&self, client: SocketAddr, service: T) -> Connection<T> {
        let state = SharedState::clone(&self.state);
        let bad_tls = self.logs.bad_tls.clone();
        Connection { client, state, service, watcher: self.graceful.watcher(), bad_tls }
    }

    /// Logs the counts that no line has told and whose interval has ended.
    fn log_due(&mut self) {
        let now = logs::now();
        self.logs.log_due(now);
        if let Some(count) = self.state.failures.due(now) {
            tracing::warn!(
                count,
                "clients send keys that are not known (API_KEYS_FILE); count: such requests since \
                 the last line"
            );
        }
    }
}

fn configure(stream: &TcpStream, user_timeout: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    // A client that does not read its answer must not occupy the connection for ever.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout))?;
    // A stream may be silent for as long as its client likes, but not once the client is gone.
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(CLIENT_IDLE))?;
    Ok(())
}
