//! Commands for many jobs: what goes over the wire, and what becomes of the jobs where the way is
//! long and cuts connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faktory_link::LinkConfig;
use testkit::{Quirky, WorkServer, eventually};
use tokio::sync::mpsc;
use worker_service::{Job, Worker, WorkerConfig};

use crate::jobs::{job, pushb};
use crate::way::{Cuts, Way};

const JOBS: usize = 1000;

type Runs = Arc<Mutex<HashMap<String, usize>>>;

/// A worker over this way, and how often it has run each job.
fn worker(way: &Way) -> (worker_service::RunningWorker, Runs) {
    let address = way.address();
    let link = LinkConfig::new(address.ip().to_string(), address.port());
    let runs = Runs::default();
    let counter = Arc::clone(&runs);
    let worker = Worker::builder(WorkerConfig::new(link).with(|worker| worker.concurrency = 15))
        .register_fn("t", move |job: Job| {
            *counter.lock().unwrap().entry(job.jid).or_default() += 1;
            async {}
        })
        .start()
        .unwrap();
    (worker, runs)
}

async fn push_all(server: &WorkServer) {
    let jobs: Vec<String> = (0..JOBS).map(|number| job(number, "t", "[]", 3)).collect();
    server.client().await.ask(&pushb(&jobs)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_is_run_and_acknowledged_once_however_often_a_long_way_is_cut() {
    // Seeds whose ways are cut some times: after each cut the worker rests for longer.
    for seed in [2, 5] {
        let server = WorkServer::broker().await;
        let way = Way::long(server.address(), Cuts::OfReports { seed }).await;
        push_all(&server).await;
        let (worker, runs) = worker(&way);
        eventually("all are acknowledged", Duration::from_secs(180), || async {
            let info = server.client().await.info().await.faktory;
            (info.total_processed == JOBS as u64 && info.sets.working == 0).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(10)).await;
        let info = server.client().await.info().await.faktory;
        let counted = (info.total_processed, info.total_failures, info.total_enqueued);
        assert_eq!(counted, (JOBS as u64, 0, 0), "seed {seed}");
        assert!(way.cut() > 0, "seed {seed}");
        let runs = runs.lock().unwrap();
        assert!(runs.len() == JOBS && runs.values().all(|times| *times == 1), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_far_away_leaves_every_job_run_once_or_in_its_queue() {
    let server = WorkServer::broker().await;
    let way = Way::long(server.address(), Cuts::OfTheAbilities).await;
    let far = Way::long(server.address(), Cuts::None).await;
    for way in [&way, &far] {
        push_all(&server).await;
        let before = server.client().await.info().await.faktory.total_processed;
        let (worker, runs) = worker(way);
        eventually("some have run", Duration::from_secs(60), || async {
            (runs.lock().unwrap().len() > 300).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(20)).await;
        let info = server.client().await.info().await.faktory;
        let ran = runs.lock().unwrap().len() as u64;
        assert!(runs.lock().unwrap().values().all(|times| *times == 1));
        let sets = info.sets;
        assert_eq!((info.total_processed - before, info.total_failures), (ran, 0));
        let waiting = info.total_enqueued + sets.scheduled;
        assert_eq!((ran + waiting, sets.working, sets.retries), (JOBS as u64, 0, 0));
        server.client().await.ask("FLUSH").await;
    }
}

/// Lines that this worker sends to a server which tells of these abilities and has one job.
async fn lines(wf: &'static str) -> (String, String) {
    let (told, mut heard) = mpsc::unbounded_channel();
    let fetches = Arc::new(AtomicUsize::new(0));
    let server = Quirky::start(move |_, mut session| {
        let (told, fetches) = (told.clone(), fetches.clone());
        async move {
            session.send(&format!("+HI {{\"v\":2{wf}}}\r\n")).await;
            let Some(_) = session.line().await else { return };
            session.send("+OK\r\n").await;
            while let Some(line) = session.line().await {
                let is_fetch = line.contains("FETCH");
                if is_fetch && fetches.fetch_add(1, Ordering::SeqCst) == 0 {
                    let job = r#"{"jid":"job-00000001","jobtype":"t","args":[],"reservation":7}"#;
                    session.send(&format!("${}\r\n{job}\r\n", job.len())).await;
                } else if is_fetch {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    session.send("$-1\r\n").await;
                } else {
                    session.send("+OK\r\n").await;
                }
                if !line.starts_with("BEAT") {
                    let _ = told.send(line);
                }
            }
        }
    })
    .await;
    let worker =
        Worker::builder(WorkerConfig::new(server.link()).with(|worker| worker.concurrency = 1))
            .register_fn("t", |_: Job| async {})
            .start()
            .unwrap();
    let (mut fetch, mut ack) = (None, None);
    while fetch.is_none() || ack.is_none() {
        let line = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
        let line = line.unwrap().unwrap();
        if line.contains("FETCH") {
            fetch.get_or_insert(line);
        } else {
            ack.get_or_insert(line);
        }
    }
    worker.stop(Duration::from_secs(5)).await;
    (fetch.unwrap(), ack.unwrap())
}

#[tokio::test]
async fn commands_for_many_jobs_go_to_a_server_that_takes_them_and_to_no_other() {
    let (fetch, ack) = lines(r#","wf":{"many":true}"#).await;
    assert_eq!(fetch, r#"WF FETCH {"n":1,"queues":["default"]}"#);
    assert_eq!(ack, r#"WF ACK {"jobs":[["job-00000001",7]]}"#);
    for wf in ["", r#","wf":{"requeue":true}"#] {
        let (fetch, ack) = lines(wf).await;
        assert_eq!(fetch, "FETCH default");
        assert_eq!(ack, r#"ACK {"jid":"job-00000001"}"#);
    }
}
