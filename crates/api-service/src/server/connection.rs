//! One connection of a client: the agreement on TLS where it is configured, then HTTP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use faktory_wire::Excerpt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::late_timer::LateTimer;
use crate::access::client::Peer;
use crate::routes::{self, HttpService};
use crate::state::SharedState;

/// The time for the head of a request, and for the agreement on TLS.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, and what its task needs.
pub(super) struct Connection<S> {
    pub(super) client: SocketAddr,
    pub(super) state: SharedState,
    pub(super) service: S,
    pub(super) watcher: Watcher,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// How a client began on a port that speaks TLS.
enum Begin {
    Tls(Box<TlsStream<TcpStream>>),
    /// The client sends plain HTTP; nothing of its request has been read.
    Plain(TcpStream),
}

impl<S: HttpService> Connection<S> {
    /// Serves the connection until its end.
    pub(super) async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Self { client, state, service, watcher, _permit } = self;
        let service = service.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(client.ip()));
            request
        });
        let Some(tls) = tls else { return serve_http(stream, service, watcher).await };
        let agreed = tokio::select! {
            agreed = deadline::timeout(HEAD_TIMEOUT, begin_tls(&tls, stream)) => agreed,
            // No request has begun yet.
            () = state.lifecycle.shutdown_begins() => return,
        };
        match agreed {
            Ok(Ok(Begin::Tls(stream))) => serve_http(stream, service, watcher).await,
            Ok(Ok(Begin::Plain(stream))) => {
                serve_http(stream, routes::without_tls(state), watcher).await;
            }
            Ok(Err(error)) if is_fault_of_tls(&error) => {
                tracing::info!(%client, error = %Excerpt(error), "a client failed to agree on TLS");
            }
            // A client that only tests whether the port is open sends nothing.
            Ok(Err(error)) => {
                tracing::debug!(%client, error = %Excerpt(error), "a client left before TLS");
            }
            Err(_) => tracing::debug!(%client, "a client took too long to agree on TLS"),
        }
    }
}

fn is_fault_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<tokio_rustls::rustls::Error>())
}

async fn begin_tls(tls: &TlsAcceptor, stream: TcpStream) -> io::Result<Begin> {
    let mut first = [0];
    // Methods of HTTP are letters (RFC 9110, 9.1); TLS begins with 22 (RFC 8446, 5.1).
    if stream.peek(&mut first).await? == 1 && first.iter().all(u8::is_ascii_alphabetic) {
        return Ok(Begin::Plain(stream));
    }
    Ok(Begin::Tls(Box::new(tls.accept(stream).await?)))
}

async fn serve_http<S: HttpService>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    service: S,
    watcher: Watcher,
) {
    let mut builder = http1::Builder::new();
    builder.timer(LateTimer).header_read_timeout(HEAD_TIMEOUT);
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = %Excerpt(error), "a client's connection ended with an error");
    }
}
