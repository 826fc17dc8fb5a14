//! The memory of a worker is bounded in bytes: of jobs that are read, that wait, and that run with
//! what their args unpack to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faktory_wire::RawJson;
use testkit::{Quirky, WorkServer, WorkServerKind, eventually};
use tokio::sync::Semaphore;
use worker_service::{Job, RunningWorker, Worker, WorkerConfig};

use crate::jobs::pushb;

const MIB: usize = 1 << 20;
const BUDGET: usize = 4 * MIB;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the handlers of a worker have done, and how many of them may end.
#[derive(Default)]
struct Runs {
    now: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

/// A worker whose jobs run until `may_end` has a permit for each.
fn worker(
    link: faktory_link::LinkConfig,
    runs: &Arc<Runs>,
    may_end: &Arc<Semaphore>,
) -> RunningWorker {
    let (runs, may_end) = (Arc::clone(runs), Arc::clone(may_end));
    Worker::builder(WorkerConfig::new(link).with(|worker| {
        (worker.concurrency, worker.max_buffer_bytes) = (20, BUDGET);
    }))
    .register_fn("t", move |job: Job| {
        let (runs, may_end) = (Arc::clone(&runs), Arc::clone(&may_end));
        async move {
            assert!(job.args_json().len() > 1000);
            let now = runs.now.fetch_add(1, Ordering::SeqCst) + 1;
            runs.most.fetch_max(now, Ordering::SeqCst);
            may_end.acquire().await.unwrap().forget();
            runs.now.fetch_sub(1, Ordering::SeqCst);
            runs.done.fetch_add(1, Ordering::SeqCst);
        }
    })
    .start()
    .unwrap()
}

/// Lets the jobs end one by one, and looks at the memory each time.
async fn all_run_within_the_budget(
    worker: &RunningWorker,
    runs: &Runs,
    may_end: &Semaphore,
    jobs: usize,
) {
    for ended in 0..jobs {
        eventually("a job runs", PATIENCE, || async {
            (runs.now.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
        let bytes = worker.held_bytes();
        assert!(bytes.running <= BUDGET && bytes.replies <= BUDGET, "{bytes:?}");
        may_end.add_permits(1);
        eventually("it has ended", PATIENCE, || async {
            (runs.done.load(Ordering::SeqCst) > ended).then_some(())
        })
        .await;
    }
}

/// A job with args of this size, compressed.
fn compressed(number: usize, bytes: usize) -> String {
    let args = RawJson::parse(&format!("[\"{}\"]", " ".repeat(bytes - 4))).unwrap();
    let packed = job_types::compress(&args, None).unwrap();
    format!(
        r#"{{"jid":"job-{number:08}","jobtype":"t","args":{},"custom":{},"reserve_for":600}}"#,
        packed.args.get(),
        packed.custom.get()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn small_jobs_that_unpack_to_large_ones_run_only_while_there_is_memory() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let jobs: Vec<String> = (0..20).map(|number| compressed(number, MIB)).collect();
        server.client().await.ask(&pushb(&jobs)).await;
        let (runs, may_end) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let worker = worker(server.link(), &runs, &may_end);
        eventually("as many run as have memory", PATIENCE, || async {
            (runs.now.load(Ordering::SeqCst) == 3).then_some(())
        })
        .await;
        all_run_within_the_budget(&worker, &runs, &may_end, 20).await;
        // Each takes a mebibyte and a little more.
        assert_eq!(runs.most.load(Ordering::SeqCst), 3, "{kind:?}");
        worker.stop(Duration::from_secs(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_larger_than_all_memory_runs_alone() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let jobs: Vec<String> = (0..3).map(|number| compressed(number, 2 * BUDGET)).collect();
        server.client().await.ask(&pushb(&jobs)).await;
        let (runs, may_end) = (Arc::default(), Arc::new(Semaphore::new(3)));
        let worker = worker(server.link(), &runs, &may_end);
        eventually("all have run", PATIENCE, || async {
            (runs.done.load(Ordering::SeqCst) == 3).then_some(())
        })
        .await;
        assert_eq!(runs.most.load(Ordering::SeqCst), 1, "{kind:?}");
        worker.stop(Duration::from_secs(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_every_fetch_with_a_large_job_fills_no_more_than_the_memory() {
    /// The jobs that the server has.
    const JOBS: usize = 40;
    let given = Arc::new(AtomicUsize::new(0));
    let server = Quirky::start(move |_, mut session| {
        let given = Arc::clone(&given);
        async move {
            session.welcome().await;
            while let Some(line) = session.line().await {
                if !line.starts_with("FETCH") {
                    session.send("+OK\r\n").await;
                    continue;
                }
                let number = given.fetch_add(1, Ordering::SeqCst);
                if number >= JOBS {
                    session.silence().await;
                    return;
                }
                let args = "x".repeat(MIB / 2);
                let job = format!(r#"{{"jid":"job-{number:08}","jobtype":"t","args":["{args}"]}}"#);
                session.send(&format!("${}\r\n{job}\r\n", job.len())).await;
            }
        }
    })
    .await;
    let (runs, may_end) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let link = faktory_link::LinkConfig {
        max_connections: 25,
        read_timeout: Duration::from_secs(30),
        ..server.link()
    };
    let worker = worker(link, &runs, &may_end);
    all_run_within_the_budget(&worker, &runs, &may_end, JOBS).await;
    assert!(runs.most.load(Ordering::SeqCst) <= 3, "each takes a mebibyte and a little more");
    drop(worker);
}

/// Jobs of 2.5 MiB, of which the worker holds one beside the one that runs; the others lie in its
/// sockets.
async fn in_the_sockets(kind: WorkServerKind, runs: &Arc<Runs>) -> (WorkServer, RunningWorker) {
    let server = WorkServer::start(kind).await;
    let args = "x".repeat(5 * MIB / 2);
    let jobs: Vec<String> = (0..6)
        .map(|number| {
            format!(r#"{{"jid":"job-{number:08}","jobtype":"t","args":["{args}"],"retry":0}}"#)
        })
        .collect();
    let client = &mut server.client().await;
    for job in &jobs {
        client.ask(&pushb(std::slice::from_ref(job))).await;
    }
    let worker = worker(server.link(), runs, &Arc::new(Semaphore::new(0)));
    eventually("one runs, and others are fetched", PATIENCE, || async {
        let working = server.client().await.info().await.faktory.sets.working;
        (runs.now.load(Ordering::SeqCst) == 1 && working >= 3).then_some(())
    })
    .await;
    (server, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_memory_in_sockets_go_back_when_the_worker_ends() {
    for kind in WorkServerKind::all() {
        let (server, worker) = in_the_sockets(kind, &Arc::default()).await;
        worker.stop(Duration::from_secs(15)).await;
        let info = server.client().await.info().await.faktory;
        // The one that ran has failed, without a retry; all others are scheduled or back.
        assert_eq!((info.sets.working, info.total_failures), (0, 1), "{kind:?}");
        assert_eq!(info.sets.scheduled + info.total_enqueued, 5, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_memory_in_sockets_go_back_before_their_reservations_end() {
    for kind in WorkServerKind::all() {
        let (server, worker) = in_the_sockets(kind, &Arc::default()).await;
        eventually("all but the one that runs are back", PATIENCE, || async {
            let sets = server.client().await.info().await.faktory.sets;
            (sets.working <= 2).then_some(())
        })
        .await;
        assert_eq!(server.client().await.info().await.faktory.total_failures, 0, "{kind:?}");
        drop(worker);
    }
}
