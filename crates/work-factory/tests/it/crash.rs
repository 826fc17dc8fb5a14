//! The broker killed under load, 20 times. A job that was answered with 202 is run or still stored;
//! a job that was answered with 503 was certainly not stored; with 504 the job may be either.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faktory_link::LinkConfig;
use serde_json::Value;
use testkit::http::Client;
use testkit::{TestApi, TestProcess, WireClient, eventually};
use tokio::task::JoinSet;
use worker_service::{Job, RunningWorker, Worker, WorkerConfig};

use crate::binary;

const KILLS: usize = 20;
const CLIENTS: usize = 4;

#[derive(Default)]
struct Account {
    stored: Mutex<Vec<String>>,
    not_stored: Mutex<Vec<String>>,
    unknown: Mutex<Vec<String>>,
    runs: Mutex<HashMap<String, u32>>,
    posted: AtomicUsize,
    over: AtomicBool,
}

impl Account {
    fn note(&self, status: u16, id: String) {
        let list = match status {
            202 => &self.stored,
            503 => &self.not_stored,
            504 => &self.unknown,
            other => panic!("status {other} for {id}"),
        };
        list.lock().unwrap().push(id);
        self.posted.fetch_add(1, Ordering::SeqCst);
    }
}

/// Posts single jobs and small batches in turn until the test is over.
async fn post(address: SocketAddr, client: usize, account: Arc<Account>) {
    let mut http = Client::connect(address).await.unwrap();
    for round in 0_usize.. {
        if account.over.load(Ordering::SeqCst) {
            return;
        }
        let id = |n: usize| format!("client-{client}-round-{round:08}-{n}");
        if round % 5 == 4 {
            let jobs: Vec<String> = (0..10)
                .map(|n| format!(r#"{{"jobtype":"count","args":[],"job_id":"{}"}}"#, id(n)))
                .collect();
            let answer = http
                .post("/jobs/batch", format!(r#"{{"jobs":[{}]}}"#, jobs.join(",")))
                .await
                .unwrap();
            let listed = |name: &str| -> HashSet<u64> {
                let list = answer.body.get(name).and_then(Value::as_array);
                list.into_iter()
                    .flatten()
                    .map(|entry| entry.as_u64().or_else(|| entry.get("index")?.as_u64()).unwrap())
                    .collect()
            };
            let (unknown, not_stored) =
                (listed("unknown"), &listed("not_sent") | &listed("rejected"));
            for n in 0..10 {
                let at = n as u64;
                account.note(
                    if unknown.contains(&at) {
                        504
                    } else if not_stored.contains(&at) {
                        503
                    } else {
                        202
                    },
                    id(n),
                );
            }
        } else {
            let body = format!(r#"{{"jobtype":"count","args":[],"job_id":"{}"}}"#, id(0));
            let answer = http.post("/jobs", body).await.unwrap();
            account.note(answer.status.as_u16(), id(0));
            if answer.status == 503 {
                // The answer asks to wait before the next try.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A broker on this address with its data in this folder.
async fn start_broker(folder: &Path, address: SocketAddr) -> TestProcess {
    let variables = [("BROKER_BIND_ADDR", address.to_string())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let process = binary::command(&["broker"], folder, &variables);
    process.line_with("  broker ").await;
    process
}

/// A worker that counts the runs of each job.
fn start_counting(account: &Arc<Account>, link: LinkConfig) -> RunningWorker {
    let account = Arc::clone(account);
    Worker::builder(WorkerConfig::new(link).with(|worker| worker.concurrency = 8))
        .register_fn("count", move |job: Job| {
            *account.runs.lock().unwrap().entry(job.jid).or_default() += 1;
            async {}
        })
        .start()
        .unwrap()
}

impl Account {
    /// Waits until so many more jobs have been stored.
    async fn more_stored(&self, more: usize) {
        let goal = self.stored.lock().unwrap().len() + more;
        eventually("jobs flow", Duration::from_secs(60), || async {
            (self.stored.lock().unwrap().len() >= goal).then_some(())
        })
        .await;
    }

    /// Every job that was answered with 202 has been run, or is still reserved at the broker.
    /// Returns the number of those that are reserved.
    async fn check_stored(&self, address: SocketAddr) -> usize {
        let runs = self.runs.lock().unwrap().clone();
        let stored = self.stored.lock().unwrap().clone();
        let not_run: Vec<&String> = stored.iter().filter(|id| !runs.contains_key(*id)).collect();
        // A FAIL finds a job that is reserved, and no job that is gone.
        let mut client = WireClient::connect(address).await;
        for id in &not_run {
            let reply = client.ask(&format!(r#"FAIL {{"jid":"{id}"}}"#)).await;
            assert_eq!(reply, faktory_wire::Reply::OK, "{id} is lost");
        }
        not_run.len()
    }

    /// No job that was answered with 503 has been run.
    fn check_not_stored(&self) {
        let runs = self.runs.lock().unwrap();
        let not_stored = self.not_stored.lock().unwrap();
        let wrongly_run: Vec<&String> =
            not_stored.iter().filter(|id| runs.contains_key(*id)).collect();
        assert_eq!(wrongly_run, [] as [&String; 0], "answered 503 and stored all the same");
    }

    /// Prints what became of the jobs.
    fn report(&self, reserved: usize) {
        let runs = self.runs.lock().unwrap();
        let (stored, unknown) = (self.stored.lock().unwrap().len(), self.unknown.lock().unwrap());
        println!(
            "{KILLS} kills: {} posted, {stored} answered 202 ({} run, {reserved} reserved), {} \
             answered 503 (none run), {} answered 504 ({} of them run), {} runs repeated",
            self.posted.load(Ordering::SeqCst),
            stored - reserved,
            self.not_stored.lock().unwrap().len(),
            unknown.len(),
            unknown.iter().filter(|id| runs.contains_key(*id)).count(),
            runs.values().filter(|count| **count > 1).count(),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_when_the_broker_is_killed_twenty_times() {
    let folder = tempfile::tempdir().unwrap();
    let address = binary::free_address();
    let mut broker = start_broker(folder.path(), address).await;
    let link = LinkConfig::new(address.ip().to_string(), address.port());
    let api = TestApi::start(link.clone()).await;
    let account = Arc::new(Account::default());
    let worker = start_counting(&account, link);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(post(api.address(), client, Arc::clone(&account)));
    }

    for kill in 0..KILLS {
        // Killed in the middle of work: some jobs have been stored since the last start, at a point
        // that varies.
        account.more_stored(50 + 37 * (kill % 7)).await;
        broker.kill().await;
        broker = start_broker(folder.path(), address).await;
    }
    account.more_stored(50).await;
    account.over.store(true, Ordering::SeqCst);
    while clients.join_next().await.is_some() {}

    // Every job that can be run is run. A job that a kill left reserved stays in the working set
    // until its reservation ends.
    eventually("the queue is empty", Duration::from_secs(60), || async move {
        let info = WireClient::connect(address).await.info().await.faktory;
        (info.total_enqueued == 0).then_some(())
    })
    .await;
    worker.stop(Duration::from_secs(10)).await;

    let reserved = account.check_stored(address).await;
    account.check_not_stored();
    account.report(reserved);
    api.stop(Duration::from_secs(5)).await;
}
