//! Jobs that go back to the work server by one command, over a way that cuts connections; and what
//! a work server without that command is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faktory_link::LinkConfig;
use testkit::{Quirky, WorkServer, eventually};
use tokio::sync::mpsc;
use worker_service::{Job, Outcome, Worker, WorkerConfig};

use crate::jobs::{job, pushb};
use crate::way::{Cuts, Way};

const JOBS: usize = 60;

/// A worker's configuration over this way.
fn config(way: &Way) -> WorkerConfig {
    let address = way.address();
    let link = LinkConfig::new(address.ip().to_string(), address.port());
    let config = WorkerConfig::new(link).with(|worker| worker.concurrency = 2);
    WorkerConfig { heartbeat: Duration::from_millis(200), ..config }
}

/// How often each job lies in the work server, in a queue or set, once none is reserved.
async fn found(server: &WorkServer) -> BTreeMap<String, usize> {
    let mut client = server.client().await;
    client.ask(r#"MUTATE {"cmd":"requeue","target":"scheduled"}"#).await;
    let mut found = BTreeMap::new();
    for _ in 0..client.info().await.faktory.total_enqueued {
        *found.entry(client.fetch("default").await.unwrap().jid).or_default() += 1;
    }
    found
}

fn each_once() -> BTreeMap<String, usize> {
    let jid = |number| Job::parse(job(number, "t", "[]", 0).as_bytes()).unwrap().jid;
    (0..JOBS).map(|number| (jid(number), 1)).collect()
}

async fn push_all(server: &WorkServer, retry: i64) {
    let jobs: Vec<String> = (0..JOBS).map(|number| job(number, "t", "[]", retry)).collect();
    server.client().await.ask(&pushb(&jobs)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_snoozed_job_is_there_once_however_often_the_way_is_cut() {
    let mut cuts = 0;
    for seed in 0..3 {
        let server = WorkServer::broker().await;
        let way = Way::to(server.address(), Cuts::OfReports { seed }).await;
        let runs: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let counter = Arc::clone(&runs);
        let worker = Worker::builder(config(&way))
            .register_fn("t", move |job: Job| {
                *counter.lock().unwrap().entry(job.jid).or_default() += 1;
                async { Outcome::Snooze(Duration::from_secs(3600)) }
            })
            .start()
            .unwrap();
        push_all(&server, i64::from(seed % 2 == 0)).await;
        eventually("all are snoozed", Duration::from_secs(60), || async {
            let sets = server.client().await.info().await.faktory.sets;
            (sets.scheduled == JOBS as u64 && sets.working == 0).then_some(())
        })
        .await;
        worker.stop(Duration::from_secs(10)).await;
        let info = server.client().await.info().await.faktory;
        assert_eq!((info.total_processed, info.total_failures), (0, 0), "seed {seed}");
        cuts += way.cut();
        assert_eq!(found(&server).await, each_once(), "seed {seed}");
        let runs = runs.lock().unwrap();
        assert!(runs.len() == JOBS && runs.values().all(|times| *times == 1), "seed {seed}");
    }
    assert!(cuts > 10, "{cuts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_gives_every_job_back_once_however_often_the_way_is_cut() {
    let mut given_back = 0;
    for seed in 0..3 {
        let server = WorkServer::broker().await;
        let way = Way::to(server.address(), Cuts::OfReports { seed }).await;
        let (begun, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (of_blocking, of_quick) = (Arc::clone(&begun), Arc::clone(&done));
        // Quick jobs make the worker fetch ahead; then jobs that never end have the slots.
        let worker = Worker::builder(config(&way))
            .register_fn("quick", move |_| {
                of_quick.fetch_add(1, Ordering::SeqCst);
                async {}
            })
            .register_fn("blocks", move |_| {
                of_blocking.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>()
            })
            .start()
            .unwrap();
        let quick = (0..300).map(|number| job(number, "quick", "[]", 0));
        let blocking = (300..302).map(|number| job(number, "blocks", "[]", 0));
        let behind = (302..400).map(|number| job(number, "quick", "[]", 0));
        let jobs: Vec<String> = quick.chain(blocking).chain(behind).collect();
        server.client().await.ask(&pushb(&jobs)).await;
        eventually("the slots are taken", Duration::from_secs(60), || async {
            (begun.load(Ordering::SeqCst) == 2).then_some(())
        })
        .await;
        let waited = eventually("some are fetched ahead", Duration::from_secs(10), || async {
            let info = server.client().await.info().await.faktory;
            (info.sets.working > 2 && worker.running() == 2).then_some(info.total_enqueued)
        })
        .await;
        worker.stop(Duration::from_secs(10)).await;
        let info = server.client().await.info().await.faktory;
        let sets = info.sets;
        assert_eq!((sets.scheduled, sets.retries), (0, 0), "seed {seed}");
        // The last reports have a second, which a way that is cut may use up: their jobs, and those
        // that had begun and were failed, stay reserved or are ended.
        let (done, failed) = (done.load(Ordering::SeqCst) as u64, info.total_failures);
        let acked = info.total_processed - failed;
        assert!(failed <= 2 && acked <= done, "seed {seed}: {info:?}");
        let found = found(&server).await;
        assert!(found.values().all(|times| *times == 1), "seed {seed}: {found:?}");
        let counted = acked + failed + found.len() as u64 + sets.working;
        assert_eq!(counted, 400, "seed {seed}: {info:?}");
        given_back += (found.len() as u64).saturating_sub(waited);
    }
    assert!(given_back > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_server_without_the_command_gets_a_push_and_an_ack() {
    let server = WorkServer::broker().await;
    let way = Way::to(server.address(), Cuts::OfTheAbilities).await;
    let worker = Worker::builder(config(&way))
        .register_fn("t", |_: Job| async { Outcome::Snooze(Duration::from_secs(3600)) })
        .start()
        .unwrap();
    push_all(&server, 0).await;
    eventually("all are snoozed", Duration::from_secs(60), || async {
        let info = server.client().await.info().await.faktory;
        // By an ACK: the runs are counted.
        (info.sets.scheduled == JOBS as u64 && info.total_processed == JOBS as u64).then_some(())
    })
    .await;
    worker.stop(Duration::from_secs(10)).await;
    assert_eq!(found(&server).await, each_once());
}

#[tokio::test]
async fn the_one_command_is_sent_again_to_a_server_that_takes_it_and_not_to_another() {
    for takes in [true, false] {
        let (told, mut heard) = mpsc::unbounded_channel();
        let (fetches, reports) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = Quirky::start(move |_, mut session| {
            let (told, fetches, reports) = (told.clone(), fetches.clone(), reports.clone());
            async move {
                let wf = if takes { r#","wf":{"requeue":true}"# } else { "" };
                session.send(&format!("+HI {{\"v\":2{wf}}}\r\n")).await;
                let Some(_) = session.line().await else { return };
                session.send("+OK\r\n").await;
                while let Some(line) = session.line().await {
                    if line.starts_with("FETCH") && fetches.fetch_add(1, Ordering::SeqCst) == 0 {
                        let job = r#"{"jid":"job-00000001","jobtype":"t","args":[],"retry":0,"#;
                        let job = format!("{job}\"reservation\":7}}");
                        session.send(&format!("${}\r\n{job}\r\n", job.len())).await;
                    } else if line.starts_with("FETCH") {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        session.send("$-1\r\n").await;
                    } else if line.starts_with("WF") {
                        let _ = told.send(line);
                        if reports.fetch_add(1, Ordering::SeqCst) == 0 {
                            return session.reset();
                        }
                        session.send("+OK\r\n").await;
                    } else if line.starts_with("PUSHB") {
                        let _ = told.send(line);
                        session.send("$2\r\n{}\r\n").await;
                    } else {
                        if line.starts_with("ACK") {
                            let _ = told.send(line);
                        }
                        session.send("+OK\r\n").await;
                    }
                }
            }
        })
        .await;
        let worker = Worker::builder(WorkerConfig::new(server.link()))
            .register_fn("t", |_: Job| async { Outcome::Snooze(Duration::from_secs(60)) })
            .start()
            .unwrap();
        let expected = if takes {
            [r#"WF REQUEUE {"jid":"job-00000001","reservation":7,"at":"#; 2]
        } else {
            [r#"PUSHB [{"retry":0,"jid":"job-00000001","#, r#"ACK {"jid":"job-00000001"}"#]
        };
        for beginning in expected {
            let line = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
            let line = line.unwrap().unwrap();
            assert!(line.starts_with(beginning), "{line}");
        }
        worker.stop(Duration::from_secs(5)).await;
        assert_eq!(heard.try_recv().ok(), None);
    }
}
