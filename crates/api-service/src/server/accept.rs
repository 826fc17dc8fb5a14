//! The loop that accepts connections, up to a bound, until the service shuts down.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use crate::routes;
use crate::state::SharedState;

/// The most connections at a time; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// The silence after which the system checks whether the client still exists.
const CLIENT_IDLE: Duration = Duration::from_secs(60);
/// The pause after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Serves until the shutdown has begun, then until the last connection has ended.
pub(super) async fn serve(listener: TcpListener, state: SharedState) {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(state.lifecycle.shutdown_begins());
    let service = routes::api(&state);
    let tls =
        state.config.api.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config(&[b"http/1.1"])));
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, client, permit)) = accepted else { continue };
        if let Err(error) = configure(&stream, state.config.api.request_timeout) {
            tracing::debug!(%error, "failed to set the options of a client's socket");
            continue;
        }
        let connection = Connection {
            client,
            state: SharedState::clone(&state),
            service: service.clone(),
            watcher: graceful.watcher(),
            _permit: permit,
        };
        connections.spawn(connection.run(stream, tls.clone()));
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, client)) => Some((stream, client, permit)),
        Err(error) => {
            // Mostly a lack of file descriptors: other connections have to end first.
            tracing::warn!(%error, "failed to accept a connection");
            tokio::time::sleep(ACCEPT_AGAIN).await;
            None
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
