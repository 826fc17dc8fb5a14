//! The end of a worker: running jobs may finish, unfinished ones are failed, nothing stays
//! reserved.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::{WorkServer, WorkServerKind, eventually};
use worker_service::{Worker, WorkerConfig};

use crate::jobs::{job, pushb};

async fn push(server: &WorkServer, count: usize) {
    let mut client = server.client().await;
    for number in 0..count {
        client.ask(&pushb(&[job(number, "t", "[]", 3)])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_may_finish_and_no_new_job_is_begun() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let worker =
            Worker::builder(WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 2))
                .register_fn("t", |_| tokio::time::sleep(Duration::from_millis(500)))
                .start()
                .unwrap();
        push(&server, 10).await;
        eventually("two run", Duration::from_secs(10), || async {
            (worker.running() == 2).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(20)).await;
        let info = server.client().await.info().await.faktory;
        assert_eq!((info.sets.working, info.total_failures), (0, 0), "{kind:?}");
        assert_eq!(info.total_processed + info.total_enqueued, 10, "{kind:?}");
        assert!(info.total_processed >= 2, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_finish_in_time_is_failed_with_the_reason() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let worker =
            Worker::builder(WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 2))
                .register_fn("t", |_| std::future::pending::<()>())
                .start()
                .unwrap();
        push(&server, 2).await;
        eventually("two run", Duration::from_secs(10), || async {
            (worker.running() == 2).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(3)).await;
        let info = server.client().await.info().await.faktory;
        assert_eq!(
            (info.sets.working, info.sets.retries, info.total_failures),
            (0, 2, 2),
            "{kind:?}"
        );
        let mut client = server.client().await;
        client.ask(r#"MUTATE {"cmd":"requeue","target":"retries"}"#).await;
        let failure = client.fetch("default").await.unwrap().failure.unwrap();
        assert_eq!(failure.errtype, "shutdown", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_work_server_ends_all_the_same() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker = Worker::builder(WorkerConfig::new(faktory_link::LinkConfig::new(
        "127.0.0.1",
        address.port(),
    )))
    .start()
    .unwrap();
    // Nothing is left to report, so nothing is waited for: far less than the time that it may take.
    tokio::time::timeout(Duration::from_secs(20), worker.stop(Duration::from_secs(3600)))
        .await
        .unwrap();
}

/// Pushes jobs with these numbers in one go.
async fn pile(server: &WorkServer, numbers: std::ops::Range<usize>) {
    let jobs: Vec<String> = numbers.map(|number| job(number, "t", "[]", 0)).collect();
    server.client().await.ask(&pushb(&jobs)).await;
}

/// A worker that counts what it runs; the lanes are as deep as over a long way.
fn counting(
    server: &WorkServer,
) -> (Arc<Mutex<HashMap<String, u32>>>, worker_service::RunningWorker) {
    let runs: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let counter = Arc::clone(&runs);
    let worker =
        Worker::builder(WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 4))
            .register_fn("t", move |job| {
                *counter.lock().unwrap().entry(job.jid).or_default() += 1;
                async {}
            })
            .start()
            .unwrap();
    (runs, worker)
}

/// Nothing is reserved, failed, run twice or lost.
async fn nothing_went_wrong(
    server: &WorkServer,
    runs: &Mutex<HashMap<String, u32>>,
    count: u64,
    what: &str,
) {
    let info = server.client().await.info().await.faktory;
    assert_eq!(
        (info.sets.working, info.sets.retries, info.sets.dead, info.total_failures),
        (0, 0, 0, 0),
        "{what}"
    );
    let runs = runs.lock().unwrap();
    assert!(runs.values().all(|times| *times == 1), "{what}");
    assert_eq!(runs.len() as u64 + info.total_enqueued + info.sets.scheduled, count, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_full_load_nothing_is_lost_and_no_retry_is_burned() {
    for kind in WorkServerKind::all() {
        for round in 0..5 {
            let server = WorkServer::start(kind).await;
            pile(&server, 0..20_000).await;
            let (runs, worker) = counting(&server);
            eventually("many have run", Duration::from_secs(30), || async {
                (runs.lock().unwrap().len() > 500 * round).then_some(())
            })
            .await;
            worker.stop(Duration::from_secs(10)).await;
            nothing_went_wrong(&server, &runs, 20_000, &format!("{kind:?}, round {round}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_queue_has_run_dry_and_jobs_still_trickle_in_nothing_is_lost() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        pile(&server, 0..5000).await;
        let (runs, worker) = counting(&server);
        eventually("all have run", Duration::from_secs(30), || async {
            (runs.lock().unwrap().len() == 5000).then_some(())
        })
        .await;
        let trickle = async {
            for number in 5000..5060 {
                pile(&server, number..number + 1).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let stop = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            worker.stop(Duration::from_secs(30)).await;
        };
        tokio::join!(trickle, stop);
        nothing_went_wrong(&server, &runs, 5060, &format!("{kind:?}")).await;
    }
}
