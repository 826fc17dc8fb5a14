//! Jobs that are run again without a failure: snoozed by their handler, or requeued by a worker
//! that ends; and jobs that run for too long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::{WorkServer, WorkServerKind, eventually};
use worker_service::{Job, JobContext, Outcome, Worker, WorkerConfig};

use crate::jobs::{job, pushb};

/// A job that has failed twice, with args and members that must stay as they are.
const FAILED_BEFORE: &str = r#"{
    "jid": "job-00000001", "jobtype": "t", "args": [1.50], "retry": 3, "reserve_for": 60,
    "custom": {"a":"b"},
    "failure": {
        "failed_at": "2026-01-02T03:04:05Z", "retry_count": 1, "remaining": 2,
        "message": "m", "errtype": "E"
    }
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_snoozed_job_is_run_again_as_it_was_and_burns_no_retry() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let seen: Arc<Mutex<Vec<(Job, u32)>>> = Arc::default();
        let log = Arc::clone(&seen);
        let worker = Worker::builder(WorkerConfig::new(server.link()))
            .register_fn_with_context("t", move |job: Job, context: JobContext| {
                let mut log = log.lock().unwrap();
                log.push((job, context.attempt()));
                let outcome = if log.len() == 1 {
                    Outcome::Snooze(Duration::from_secs(1))
                } else {
                    Outcome::Done
                };
                async move { outcome }
            })
            .start()
            .unwrap();
        let on_one_line = FAILED_BEFORE.replace('\n', "");
        server.client().await.ask(&pushb(&[on_one_line])).await;
        eventually("it has run twice", Duration::from_secs(30), || async {
            (seen.lock().unwrap().len() == 2).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(5)).await;
        let runs = std::mem::take(&mut *seen.lock().unwrap());
        let kept = |job: &Job| {
            (
                job.jid.clone(),
                job.args_json().parse::<serde_json::Value>().unwrap(),
                job.custom.clone(),
                job.retry,
                job.failure.clone(),
            )
        };
        assert_eq!(kept(&runs[0].0), kept(&runs[1].0), "{kind:?}");
        assert_eq!((runs[0].1, runs[1].1), (3, 3), "{kind:?}: the third attempt both times");
        let info = server.client().await.info().await.faktory;
        assert_eq!(
            (info.total_failures, info.sets.working, info.sets.retries),
            (0, 0, 0),
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_fetched_and_not_begun_is_requeued_even_where_it_may_not_be_retried() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let mut client = server.client().await;
        let blocks = Arc::new(AtomicUsize::new(0));
        let (handler_blocks, ran) = (Arc::clone(&blocks), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&ran);
        // Quick jobs make the worker fetch ahead; then a job that never ends has the slot.
        let worker =
            Worker::builder(WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 1))
                .register_fn("quick", move |_| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    async {}
                })
                .register_fn("blocks", move |_| {
                    handler_blocks.fetch_add(1, Ordering::SeqCst);
                    std::future::pending::<()>()
                })
                .start()
                .unwrap();
        let job = |number, job_type| job(number, job_type, "[]", 0);
        let mut jobs: Vec<String> = (0..500).map(|number| job(number, "quick")).collect();
        jobs.push(job(500, "blocks"));
        jobs.extend((501..600).map(|number| job(number, "quick")));
        client.ask(&pushb(&jobs)).await;
        eventually("the slot is taken", Duration::from_secs(30), || async {
            (blocks.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        eventually("one is fetched ahead", Duration::from_secs(10), || {
            let client = server.client();
            async move { (client.await.info().await.faktory.sets.working > 1).then_some(()) }
        })
        .await;
        worker.stop(Duration::from_secs(6)).await;
        let info = server.client().await.info().await.faktory;
        assert_eq!(
            (info.sets.working, info.total_failures),
            (0, 1),
            "{kind:?}: only what had begun has failed"
        );
        // Faktory gets a copy that is due later, and the broker the job itself.
        let gone_back = match kind {
            WorkServerKind::Faktory => info.sets.scheduled,
            WorkServerKind::Broker => info.total_enqueued,
        };
        assert!(gone_back >= 1, "{kind:?}");
        let ran = ran.load(Ordering::SeqCst) as u64;
        assert_eq!(
            ran + info.total_enqueued + info.sets.scheduled,
            599,
            "{kind:?}: nothing that had not begun is lost"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_too_long_fails_and_frees_its_slot() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let cancelled = Arc::new(AtomicUsize::new(0));
        let (of_blocking, done) = (Arc::clone(&cancelled), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&done);
        let worker =
            Worker::builder(WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 1))
                .register_fn("hangs", |_| std::future::pending::<()>())
                .register_blocking_fn_with_context("blocks", move |_, context: JobContext| {
                    while !context.is_cancelled() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    of_blocking.fetch_add(1, Ordering::SeqCst);
                })
                .register_fn("quick", move |_| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    async {}
                })
                .time_limit("hangs", Duration::from_millis(300))
                .time_limit("blocks", Duration::from_millis(300))
                .start()
                .unwrap();
        let mut client = server.client().await;
        for (number, job_type) in ["hangs", "blocks", "quick"].into_iter().enumerate() {
            client.ask(&pushb(&[job(number, job_type, "[]", 3)])).await;
        }
        eventually("the last has run", Duration::from_secs(30), || async {
            (done.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        eventually("the blocking one knows", Duration::from_secs(10), || async {
            (cancelled.load(Ordering::SeqCst) == 1).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(5)).await;
        let info = server.client().await.info().await.faktory;
        assert_eq!(
            (info.sets.retries, info.total_failures, info.sets.working),
            (2, 2, 0),
            "{kind:?}"
        );
        client.ask(r#"MUTATE {"cmd":"requeue","target":"retries"}"#).await;
        let failure = client.fetch("default").await.unwrap().failure.unwrap();
        assert_eq!(failure.errtype, "timeout", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_learn_that_the_worker_is_to_end() {
    let server = WorkServer::broker().await;
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let worker = Worker::builder(WorkerConfig::new(server.link()))
        .register_fn_with_context("t", move |_, context: JobContext| {
            counter.fetch_add(1, Ordering::SeqCst);
            async move { context.cancelled().await }
        })
        .start()
        .unwrap();
    server
        .client()
        .await
        .ask(r#"PUSHB [{"jid":"job-00000001","jobtype":"t","args":[],"reserve_for":60}]"#)
        .await;
    eventually("it runs", Duration::from_secs(10), || async {
        (begun.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    // Long before the time to end is over.
    tokio::time::timeout(Duration::from_secs(30), worker.stop(Duration::from_secs(3600)))
        .await
        .unwrap();
    let info = server.client().await.info().await.faktory;
    assert_eq!((info.total_processed, info.total_failures, info.sets.working), (1, 0, 0));
}
