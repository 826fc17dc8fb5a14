//! Serves the health port within a bound. Nobody logs in there, so a new connection always gets a
//! place, where need be that of another one: a client that connects and says nothing keeps no
//! orchestrator from asking.

use std::time::{Duration, Instant};

use admission::{BoundedLog, Entry, Nets, PlaceLimits, Places};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// The shortest time between two lines about connections that made room or fail.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Serves at most `connections` at a time, until dropped.
pub(super) async fn serve(listener: TcpListener, router: Router, connections: usize) {
    let limits = PlaceLimits { total: connections, strangers: connections };
    let places = Places::new(limits, Nets::default(), fastrand::u64(..));
    let mut log = BoundedLog::new(LOG_EVERY);
    let mut failed_log = BoundedLog::new(LOG_EVERY);
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = serving.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(count) = failed_log.note(Instant::now()) {
                    tracing::warn!(%error, count, "failed to accept a connection");
                }
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let now = Instant::now();
        let (stop, lost) = oneshot::channel();
        let Entry::Admitted { place, instead_of } = places.enter(client.ip(), stop, now) else {
            continue;
        };
        let router = router.clone();
        serving.spawn(async move {
            let _place = place;
            tokio::select! {
                () = answer(stream, router) => {}
                _ = lost => {}
            }
        });
        if let Some(stop) = instead_of {
            let _ = stop.send(());
            if let Some(count) = log.note(now) {
                tracing::warn!(count, "closed connections to /health, to make room for new ones");
            }
            // The connection that was closed gives its descriptor back first.
            tokio::task::yield_now().await;
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to /health ended with an error");
    }
}
