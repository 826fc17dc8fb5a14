//! Serves the health port within a bound. Nobody logs in there, so a new connection always gets a
//! place, where need be that of another one: a client that connects and says nothing keeps no
//! orchestrator from asking.

use std::io;
use std::time::{Duration, Instant};

use admission::{BoundedLog, Entry, Nets, PlaceLimits, Places};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// The time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// The shortest time between two lines about connections that made room or fail.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// How often the counts are logged that no line has told.
const LOG_DUE_EVERY: Duration = Duration::from_secs(1);

/// Serves at most `connections` at a time, until dropped.
pub(super) async fn serve(listener: TcpListener, router: Router, connections: usize) {
    let limits = PlaceLimits { total: connections, strangers: connections };
    let places = Places::new(limits, Nets::default(), fastrand::u64(..));
    let mut logs = Logs::new();
    let mut log_due = tokio::time::interval(LOG_DUE_EVERY);
    log_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = log_due.tick() => {
                logs.log_due(now());
                continue;
            }
            Some(_) = serving.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                logs.note_failed(&error, now());
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let (stop, lost) = oneshot::channel();
        let Entry::Admitted { place, instead_of } = places.enter(client.ip(), stop, now()) else {
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
            logs.note_made_room(now());
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

/// When to write lines about connections that made room or fail.
struct Logs {
    made_room: BoundedLog,
    failed: BoundedLog,
}

impl Logs {
    const fn new() -> Self {
        Self { made_room: BoundedLog::new(LOG_EVERY), failed: BoundedLog::new(LOG_EVERY) }
    }

    fn note_made_room(&mut self, now: Instant) {
        log_made_room(self.made_room.note(now));
    }

    fn note_failed(&mut self, error: &io::Error, now: Instant) {
        if let Some(count) = self.failed.note(now) {
            tracing::warn!(%error, count, "failed to accept a connection");
        }
    }

    /// Logs the counts that no line has told and whose interval has ended.
    fn log_due(&mut self, now: Instant) {
        log_made_room(self.made_room.due(now));
        if let Some(count) = self.failed.due(now) {
            tracing::warn!(count, "failed to accept connections");
        }
    }
}

fn log_made_room(due: Option<u64>) {
    if let Some(count) = due {
        tracing::warn!(count, "closed connections to /health, to make room for new ones");
    }
}

/// The time by the runtime's clock, which tests may set.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use testkit::Logged;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_accepting_task_logs_the_last_count_of_a_burst() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        }
        let log = Logged::here();
        let over = tokio::time::sleep(Duration::from_secs(100));
        tokio::select! {
            () = serve(listener, Router::new(), 1) => panic!("nothing stops the task"),
            () = over => {}
        }
        assert_eq!(log.counts_of("closed connections"), [1, 18]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_count_of_a_burst_is_logged_once_when_its_interval_has_ended() {
        let mut logs = Logs::new();
        let log = Logged::here();
        for _ in 0..20 {
            logs.note_made_room(now());
            logs.note_failed(&io::Error::other("too many open files"), now());
        }
        for second in 0..=200 {
            logs.log_due(now());
            for text in ["closed connections", "failed to accept"] {
                let expected: &[u64] = if second < 60 { &[1] } else { &[1, 19] };
                assert_eq!(log.counts_of(text), expected, "{text} after {second} s");
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
