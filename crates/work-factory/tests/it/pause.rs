//! API and worker stopped for so long that the work server has closed their connections.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::{self, Client};
use testkit::{TestProcess, WorkServer, WorkServerKind, eventually};
use tokio::task::JoinSet;

use crate::binary;

/// Longer than the 60 s after which a work server has forgotten a worker.
const PAUSE: Duration = Duration::from_secs(70);
/// Jobs that come while all is stopped.
const MEANWHILE: usize = 20;

/// For each job id, how often the worker's log says that the job is done.
fn runs(worker: &TestProcess) -> HashMap<String, u32> {
    let mut runs = HashMap::new();
    for line in worker.output().lines().filter(|line| line.contains("job done")) {
        if let Some((_, rest)) = line.split_once("jid=") {
            let id = rest.split(' ').next().unwrap();
            *runs.entry(id.to_owned()).or_default() += 1;
        }
    }
    runs
}

/// Posts a batch over this connection; returns the ids.
async fn post_batch(client: &mut Client) -> Vec<String> {
    let jobs: Vec<Value> = (0..50).map(|n| json!({ "operation": "add", "a": n, "b": 1 })).collect();
    let answer = client.post("/jobs/batch", json!({ "jobs": jobs }).to_string()).await.unwrap();
    assert_eq!(answer.status, 202, "{:#}", answer.body);
    let ids = answer.body.get("job_ids").and_then(Value::as_array).unwrap();
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn a_long_pause(kind: WorkServerKind) {
    let server = WorkServer::start(kind).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("tcp://{}", server.address());
    let variables = [("FAKTORY_URL", url.as_str()), ("WORKER_CONCURRENCY", "2")];
    let api = binary::command(&["api"], folder.path(), &variables);
    let worker = binary::command(&["worker"], folder.path(), &variables);
    let address = api.address_on("  API ").await;
    worker.line_with("connected to the work server").await;
    eventually("ready", Duration::from_secs(30), || async {
        http::get(address, "/ready").await.ok().filter(|answer| answer.status == 200)
    })
    .await;
    let mut client = Client::connect(address).await.unwrap();
    let mut ids = post_batch(&mut client).await;
    eventually("jobs are run", Duration::from_secs(60), || async {
        (runs(&worker).len() == ids.len()).then_some(())
    })
    .await;

    worker.signal("STOP").await;
    api.signal("STOP").await;
    let mut wire = server.client().await;
    // The first of them answer the FETCHes of the stopped worker, and are reserved for it.
    for number in 0..MEANWHILE {
        let id = format!("job-meanwhile-{number:03}");
        let job = format!(
            r#"PUSHB [{{"jid":"{id}","jobtype":"add","args":[1,2],"retry":0,"reserve_for":1800}}]"#
        );
        wire.ask(&job).await;
        ids.push(id);
    }
    // Requests that lie in the sockets of the stopped API: on a connection that was idle for longer
    // than a head may take, and on new ones.
    let posting = tokio::spawn(async move {
        let ids = post_batch(&mut client).await;
        (client, ids)
    });
    let ready = tokio::spawn(http::get(address, "/ready"));
    tokio::time::sleep(PAUSE).await;
    worker.signal("CONT").await;
    api.signal("CONT").await;

    let (_client, more) = posting.await.unwrap();
    ids.extend(more);
    let ready = ready.await.unwrap().unwrap();
    assert_eq!(ready.status, 200, "the work server was not silent: {:#}", ready.body);
    eventually("all jobs are run", Duration::from_secs(60), || async {
        let runs = runs(&worker);
        ids.iter().all(|id| runs.contains_key(id)).then_some(())
    })
    .await;
    eventually("all are acknowledged", Duration::from_secs(60), || async {
        let info = server.client().await.info().await.faktory;
        let all = (info.sets.working, info.total_enqueued, info.total_processed);
        (all == (0, 0, ids.len() as u64) && info.total_failures == 0).then_some(())
    })
    .await;
    let runs = runs(&worker);
    assert!(ids.iter().all(|id| runs.get(id) == Some(&1)), "exactly once: {runs:?}");
}

#[tokio::test]
async fn api_and_worker_that_were_stopped_for_70_s_lose_nothing() {
    let mut pauses = JoinSet::new();
    for kind in WorkServerKind::all() {
        pauses.spawn(a_long_pause(kind));
    }
    pauses.join_all().await;
}
