//! Jobs are run, and end as they should in the work server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use testkit::{WorkServer, WorkServerKind, eventually};
use worker_service::{Failure, Job, Outcome, RunError, RunningWorker, Worker, WorkerConfig};

use crate::jobs::{job, pushb};

fn config(server: &WorkServer) -> WorkerConfig {
    let config = WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 8);
    WorkerConfig { shutdown_timeout: Duration::from_secs(10), ..config }
}

async fn push(server: &WorkServer, jobs: &[(&str, &str, i64)]) {
    let mut client = server.client().await;
    for (number, (job_type, args, retry)) in jobs.iter().enumerate() {
        client.ask(&pushb(&[job(number, job_type, args, *retry)])).await;
    }
}

async fn processed(server: &WorkServer, count: u64) {
    eventually(&format!("{count} jobs are processed"), Duration::from_secs(30), || {
        let client = server.client();
        async move {
            let info = client.await.info().await.faktory;
            (info.total_processed == count && info.sets.working == 0).then_some(())
        }
    })
    .await;
}

/// Takes the failures of the jobs in a set out, by requeueing them and fetching them.
async fn failures(server: &WorkServer, set: &str) -> HashMap<String, faktory_wire::Failure> {
    let mut client = server.client().await;
    client.ask(&format!(r#"MUTATE {{"cmd":"requeue","target":"{set}"}}"#)).await;
    let mut failures = HashMap::new();
    while client.info().await.faktory.total_enqueued > 0 {
        let job = client.fetch("default").await.unwrap();
        failures.insert(job.jobtype, job.failure.unwrap());
    }
    failures
}

async fn panics(_: Job) {
    panic!("deliberate")
}

/// A worker with a handler of every kind and for every outcome, each named by its job type. The
/// args of `async` jobs are noted in `seen`.
fn worker_with_every_handler(config: WorkerConfig, seen: Arc<Mutex<Vec<String>>>) -> RunningWorker {
    Worker::builder(config)
        .register_fn("async", move |job: Job| {
            seen.lock().unwrap().push(job.args_json().to_owned());
            async {}
        })
        .register_blocking_fn("blocking", |_| Outcome::Done)
        .register(
            "crate",
            worker_service::faktory_crate::runner(Box::new(|_: faktory::Job| async {
                Ok::<(), std::io::Error>(())
            })),
        )
        .register_fn("error", |_| async { Err::<(), _>(std::io::Error::other("no disk")) })
        .register_fn("panic", panics)
        .register_blocking_fn("blocking-panic", |_| -> Outcome { panic!("deliberate too") })
        .register_fn("hopeless", |_| async { Err::<(), _>(RunError::for_good("bad", "never")) })
        .register_fn("hopeless-by-anyhow", |_| async {
            let failed: anyhow::Result<()> = Err(RunError::for_good("bad", "never").into());
            failed.context("deliberate")
        })
        .register_fn("snoozed", |_| async {
            anyhow::Ok(Outcome::Snooze(Duration::from_secs(3600)))
        })
        .register(
            "hopeless-crate",
            worker_service::faktory_crate::runner(Box::new(|_: faktory::Job| async {
                Err::<(), anyhow::Error>(RunError::for_good("bad", "never").into())
            })),
        )
        .register_fn("gone", |_| async { Outcome::FailedForGood(Failure::new("bad", "never")) })
        .start()
        .unwrap()
}

/// The failures in the retries say what went wrong, and where.
fn each_retry_has_its_reason(
    kind: WorkServerKind,
    retries: &HashMap<String, faktory_wire::Failure>,
) {
    let failure = |job_type| retries.get(job_type).unwrap_or_else(|| panic!("{kind:?} {job_type}"));
    assert_eq!(failure("error").message, "no disk");
    assert_eq!(failure("panic").message, "handler panicked: deliberate");
    assert!(failure("panic").backtrace.first().unwrap().contains("running.rs"));
    assert_eq!(failure("blocking-panic").message, "handler panicked: deliberate too");
    let unknown = &failure("unheard-of").message;
    assert!(unknown.contains("unheard-of"), "{unknown}");
    assert!(unknown.contains("async, blocking, blocking-panic, crate"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_handler_runs_and_every_outcome_ends_where_it_should() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let worker = worker_with_every_handler(config(&server), Arc::clone(&seen));
        push(
            &server,
            &[
                ("async", r#"[1.0,{"b":"x"}]"#, 3),
                ("blocking", "[]", 3),
                ("crate", "[1]", 3),
                ("error", "[]", 3),
                ("panic", "[]", 3),
                ("blocking-panic", "[]", 3),
                ("hopeless", "[]", 3),
                ("hopeless-by-anyhow", "[]", 3),
                ("hopeless-crate", "[]", 3),
                ("snoozed", "[]", 3),
                ("gone", "[]", 0),
                ("unheard-of", "[]", 3),
            ],
        )
        .await;
        // What is snoozed counts as a run on Faktory, where a copy of it is pushed.
        let runs = match kind {
            WorkServerKind::Broker => 11,
            WorkServerKind::Faktory => 12,
        };
        processed(&server, runs).await;
        worker.stop(Duration::from_secs(10)).await;

        let sets = server.client().await.info().await.faktory.sets;
        assert_eq!((sets.retries, sets.dead, sets.working), (4, 3, 0), "{kind:?}");
        assert_eq!(sets.scheduled, 1, "{kind:?}: snoozed");
        assert_eq!(seen.lock().unwrap().len(), 1);

        let dead = failures(&server, "dead").await;
        for (job_type, message) in [
            ("hopeless", "never"),
            ("hopeless-by-anyhow", "deliberate: never"),
            ("hopeless-crate", "never"),
        ] {
            let hopeless = dead.get(job_type).unwrap();
            assert_eq!((hopeless.errtype.as_str(), hopeless.message.as_str()), ("bad", message));
        }
        each_retry_has_its_reason(kind, &failures(&server, "retries").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_are_each_run_exactly_once() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let runs: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let counter = Arc::clone(&runs);
        let worker = Worker::builder(config(&server))
            .register_fn("n", move |job: Job| {
                *counter.lock().unwrap().entry(job.jid).or_default() += 1;
                async {}
            })
            .start()
            .unwrap();
        let jobs = vec![("n", "[]", 3); 1000];
        push(&server, &jobs).await;
        processed(&server, 1000).await;
        worker.stop(Duration::from_secs(10)).await;
        let runs = runs.lock().unwrap();
        assert_eq!(runs.len(), 1000, "{kind:?}");
        assert!(runs.values().all(|count| *count == 1), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_than_the_concurrency_is_fetched() {
    let server = WorkServer::broker().await;
    let release = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&release);
    let worker =
        Worker::builder(WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 3))
            .register_fn("wait", move |_| {
                let gate = Arc::clone(&gate);
                async move { drop(gate.acquire_owned().await) }
            })
            .start()
            .unwrap();
    push(&server, &vec![("wait", "[]", 3); 10]).await;
    eventually("three are fetched", Duration::from_secs(10), || {
        let client = server.client();
        async move { (client.await.info().await.faktory.sets.working == 3).then_some(()) }
    })
    .await;
    let info = server.client().await.info().await.faktory;
    assert_eq!((info.sets.working, info.total_enqueued), (3, 7));
    assert_eq!(worker.running(), 3);
    release.add_permits(100);
    processed(&server, 10).await;
    worker.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_work_server_is_found_again_and_acks_are_not_lost() {
    for kind in WorkServerKind::all() {
        let mut server = WorkServer::start(kind).await;
        let release = Arc::new(tokio::sync::Semaphore::new(0));
        let gate = Arc::clone(&release);
        let mut worker = Worker::builder(config(&server))
            .register_fn("wait", move |_| {
                let gate = Arc::clone(&gate);
                async move { drop(gate.acquire_owned().await) }
            })
            .start()
            .unwrap();
        worker.connected().await;
        push(&server, &[("wait", "[]", 3)]).await;
        eventually("it runs", Duration::from_secs(10), || async {
            (worker.running() == 1).then_some(())
        })
        .await;
        server.stop().await;
        // The job ends while nobody is there to be told.
        release.add_permits(100);
        eventually("it has ended", Duration::from_secs(10), || async {
            (worker.running() == 0).then_some(())
        })
        .await;
        server.run().await;
        processed(&server, 1).await;
        push(&server, &[("wait", "[]", 3)]).await;
        processed(&server, 2).await;
        worker.stop(Duration::from_secs(10)).await;
        assert_eq!(server.client().await.info().await.faktory.total_failures, 0, "{kind:?}");
    }
}
