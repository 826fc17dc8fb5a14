//! One connection of a client: the agreement on TLS where it is configured, then HTTP.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use admission::Place;
use axum::response::Response;
use faktory_wire::Excerpt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::late_timer::LateTimer;
use super::logs::BadTls;
use crate::access::client::Peer;
use crate::routes::{self, HttpService};
use crate::state::SharedState;

/// What a service gives for a request.
type Answer = Result<Response, Infallible>;

/// The time for the head of a request, and for the agreement on TLS.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for the answer to a connection that has no place.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The place of a connection, which a new one may take until its client has shown who it is.
pub(super) type HeldPlace = Place<oneshot::Sender<()>>;

/// A connection, and what its task needs.
pub(super) struct Connection<S> {
    pub(super) client: SocketAddr,
    pub(super) state: SharedState,
    pub(super) service: S,
    pub(super) watcher: Watcher,
    /// When to write a line about a client that fails to agree on TLS.
    pub(super) bad_tls: BadTls,
}

/// How a client began on a port that speaks TLS.
enum Begin {
    Tls(Box<TlsStream<TcpStream>>),
    /// The client sends plain HTTP; nothing of its request has been read.
    Plain(TcpStream),
}

impl<S: HttpService> Connection<S> {
    /// Serves the connection until its end, or until it has lost its place.
    pub(super) async fn run(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        place: HeldPlace,
        lost: oneshot::Receiver<()>,
    ) {
        let lost = async {
            // Without a message the client has shown who it is, and the place is kept.
            if lost.await.is_err() {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = self.serve(stream, tls, Some(place)) => {}
            () = lost => {}
        }
    }

    /// Answers the first request with a refusal, as the service says, and closes the connection.
    pub(super) async fn refuse(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, self.serve(stream, tls, None)).await;
    }

    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>, place: Option<HeldPlace>) {
        let Self { client, state, service, watcher, bad_tls } = self;
        let service = service.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(client.ip()));
            request
        });
        let service = Admitted { service, place: place.map(|place| (place, state.clone())) };
        let Some(tls) = tls else { return serve_http(stream, service, watcher).await };
        let agreed = tokio::select! {
            agreed = deadline::timeout(HEAD_TIMEOUT, begin_tls(&tls, stream)) => agreed,
            // No request has begun yet.
            () = state.lifecycle.shutdown_begins() => return,
        };
        match agreed {
            Ok(Ok(Begin::Tls(stream))) => serve_http(stream, service, watcher).await,
            Ok(Ok(Begin::Plain(stream))) => {
                let refusal = routes::without_tls(state);
                // A key that comes without TLS shows nothing. The place is held all the same.
                let _held = service.place;
                let service = Admitted { service: refusal, place: None };
                serve_http(stream, service, watcher).await;
            }
            Ok(Err(error)) if is_fault_of_tls(&error) => {
                bad_tls.note(client, Excerpt(error));
            }
            // A client that only tests whether the port is open sends nothing.
            Ok(Err(error)) => {
                tracing::debug!(%client, error = %Excerpt(error), "a client left before TLS");
            }
            Err(_) => tracing::debug!(%client, "a client took too long to agree on TLS"),
        }
    }
}

/// A service, and the place of its connection.
struct Admitted<S> {
    service: S,
    place: Option<(HeldPlace, SharedState)>,
}

impl<S: HttpService> Admitted<S> {
    /// Answers a request. The connection keeps its place from the first request on that has a good
    /// key, or from the first request where there are no keys.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answer> + use<S> {
        let has_lost_place = self.place.as_ref().is_some_and(|(place, state)| {
            !place.is_kept() && state.keyring.knows(request.headers()) && !place.authenticated()
        });
        // A connection that has lost its place is about to be closed, and begins nothing.
        let answering = (!has_lost_place).then(|| self.service.clone().oneshot(request));
        async move {
            match answering {
                Some(answering) => answering.await,
                None => std::future::pending().await,
            }
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
    admitted: Admitted<S>,
    watcher: Watcher,
) {
    let mut builder = http1::Builder::new();
    builder.timer(LateTimer).header_read_timeout(HEAD_TIMEOUT);
    let service = service_fn(move |request| admitted.answer(request));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = %Excerpt(error), "a client's connection ended with an error");
    }
}
