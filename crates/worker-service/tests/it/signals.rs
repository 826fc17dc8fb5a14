//! The signals to a worker: SIGHUP ends it in order, TTIN quiets it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use testkit::{Quirky, Session, TestProcess, WorkServer, WorkServerKind, eventually, http};
use tokio::sync::{Notify, mpsc};
use worker_service::{Worker, WorkerConfig};

use crate::jobs::{job, pushb};

const PATIENCE: Duration = Duration::from_secs(60);

/// Pushes jobs that the binary can run.
async fn pile(server: &WorkServer, numbers: std::ops::Range<usize>) {
    let jobs: Vec<String> = numbers.map(|number| job(number, "add", "[1,2]", 3)).collect();
    server.client().await.ask(&pushb(&jobs)).await;
}

/// The binary as a worker of this server; `before` is a program that starts it.
fn process(server: &WorkServer, before: &[&str], more: &[(&str, &str)]) -> TestProcess {
    let url = format!("tcp://{}", server.address());
    let mut variables = vec![
        ("FAKTORY_URL", url.as_str()),
        ("WORKER_BIND_ADDR", "127.0.0.1:0"),
        ("SHUTDOWN_TIMEOUT", "20s"),
        ("RUST_LOG", "warn,worker_service::health=info,worker_service::ack_lane=info"),
    ];
    variables.extend(more);
    let words: Vec<&str> =
        before.iter().copied().chain([env!("CARGO_BIN_EXE_worker-service")]).collect();
    TestProcess::start(words[0], &words[1..], &variables)
}

async fn processed(server: &WorkServer, at_least: u64) {
    eventually("jobs have run", PATIENCE, || async {
        let info = server.client().await.info().await.faktory;
        (info.total_processed >= at_least).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_ends_a_worker_in_order_and_leaves_nothing_reserved() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        pile(&server, 0..10_000).await;
        let mut process = process(&server, &[], &[]);
        processed(&server, 100).await;
        process.signal("HUP").await;
        assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
        let info = server.client().await.info().await.faktory;
        let reserved = (info.sets.working, info.sets.retries);
        assert_eq!((reserved, info.total_failures), ((0, 0), 0), "{kind:?}");
        // A requeued job has been processed and waits again.
        assert!(info.total_processed + info.total_enqueued >= 10_000, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_terminal_was_closed_ends_in_order_although_nobody_reads_its_log() {
    let server = WorkServer::broker().await;
    pile(&server, 0..10_000).await;
    let mut process = process(&server, &[], &[("RUST_LOG", "info")]);
    processed(&server, 100).await;
    process.close_output().await;
    process.signal("HUP").await;
    assert_eq!(process.exit_code().await, Some(0));
    let info = server.client().await.info().await.faktory;
    assert_eq!((info.sets.working, info.total_failures), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_to_outlive_its_terminal_ignores_a_hangup() {
    let server = WorkServer::broker().await;
    let mut process = process(&server, &["nohup"], &[]);
    process.line_with("connected to the work server").await;
    process.signal("HUP").await;
    // The worker goes on: it runs what comes after the signal.
    pile(&server, 0..10).await;
    processed(&server, 10).await;
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
}

/// The text under `/metrics` has all of these lines.
async fn shows(address: SocketAddr, lines: &[&str]) {
    eventually(&format!("{lines:?}"), PATIENCE, || async {
        let text = http::get_text(address, "/metrics").await.ok()?;
        lines.iter().all(|line| text.lines().any(|shown| shown == *line)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_worker_lives_and_fetches_no_more_until_it_is_ended() {
    for (kind, signal) in
        WorkServerKind::all().into_iter().flat_map(|kind| [(kind, "TTIN"), (kind, "TSTP")])
    {
        let server = WorkServer::start(kind).await;
        pile(&server, 0..2000).await;
        let mut process = process(&server, &[], &[("WORKER_QUIET_SIGNAL", "TTIN,TSTP")]);
        let address = process.listening("the worker answers /health").await;
        processed(&server, 10).await;
        process.signal(signal).await;
        // All FETCHes are answered, and what they brought has run.
        shows(
            address,
            &[
                "work_factory_worker_state{state=\"running\"} 0",
                "work_factory_worker_state{state=\"quiet\"} 1",
                "work_factory_worker_jobs{state=\"at_risk\"} 0",
                "work_factory_worker_jobs{state=\"buffered\"} 0",
                "work_factory_worker_jobs{state=\"running\"} 0",
                "work_factory_worker_jobs{state=\"unacknowledged\"} 0",
            ],
        )
        .await;
        let ready = http::get(address, "/ready").await.unwrap();
        assert_eq!(ready.status, 503);
        assert!(ready.body.to_string().contains("the worker is quiet"), "{}", ready.body);
        let before = server.client().await.info().await.faktory;
        pile(&server, 2000..2010).await;
        process.signal("TERM").await;
        assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
        let after = server.client().await.info().await.faktory;
        assert_eq!(after.total_enqueued, before.total_enqueued + 10, "{kind:?} {signal}");
        assert_eq!((after.sets.working, after.total_failures), (0, 0), "{kind:?} {signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_worker_finishes_what_runs() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let (may_end, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (handler_may_end, begun) = (Arc::clone(&may_end), Arc::clone(&gate));
        let config = WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 1);
        let worker = Worker::builder(config)
            .register_fn("t", move |_| {
                let (may_end, begun) = (Arc::clone(&handler_may_end), Arc::clone(&begun));
                async move {
                    begun.notify_one();
                    may_end.notified().await;
                }
            })
            .start()
            .unwrap();
        let mut client = server.client().await;
        client.ask(&pushb(&[job(1, "t", "[]", 3)])).await;
        gate.notified().await;
        worker.quiet();
        client.ask(&pushb(&[job(2, "t", "[]", 3)])).await;
        may_end.notify_one();
        processed(&server, 1).await;
        worker.stop(Duration::from_secs(20)).await;
        let info = client.info().await.faktory;
        assert_eq!((info.total_enqueued, info.sets.working), (1, 0), "{kind:?}");
        assert_eq!(info.total_failures, 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_says_at_once_that_a_worker_is_quiet() {
    // Also where it became quiet before it had a connection.
    for is_connected in [true, false] {
        first_beat_is_of_a_quiet_worker(is_connected).await;
    }
}

async fn first_beat_is_of_a_quiet_worker(is_connected: bool) {
    let (beats, mut seen) = mpsc::channel(100);
    let server = Quirky::start(move |_, mut session: Session| {
        let beats = beats.clone();
        async move {
            session.welcome().await;
            while let Some(line) = session.line().await {
                if line.starts_with("BEAT") {
                    beats.send(line).await.unwrap();
                    session.send("+OK\r\n").await;
                } else {
                    session.send("$-1\r\n").await;
                }
            }
        }
    })
    .await;
    // No heartbeat is due for an hour.
    let heartbeat = Duration::from_secs(3600);
    let mut worker =
        Worker::builder(WorkerConfig { heartbeat, ..WorkerConfig::new(server.link()) })
            .start()
            .unwrap();
    if is_connected {
        worker.connected().await;
    }
    worker.quiet();
    let beat = tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    assert!(beat.contains(r#""current_state":"quiet""#), "{beat}");
    worker.stop(Duration::from_secs(5)).await;
}
