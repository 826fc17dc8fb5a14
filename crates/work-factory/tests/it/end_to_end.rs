//! Jobs travel over HTTP, through a work server, to a worker: with all parts in one process, and
//! with each part alone.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::{self, Client};
use testkit::{TestProcess, WireClient, WorkServer, WorkServerKind, eventually};
use tokio::task::JoinSet;

use crate::binary;

/// For each job id, how often the log says that the job is done.
fn runs(process: &TestProcess) -> HashMap<String, u32> {
    let mut runs = HashMap::new();
    for line in process
        .output()
        .lines()
        .filter(|line| line.contains("job done") && line.contains("result="))
    {
        let id = line.split("jid=").nth(1).unwrap().split(' ').next().unwrap();
        *runs.entry(id.to_owned()).or_default() += 1;
    }
    runs
}

fn id(answer: &http::Answer) -> String {
    answer.body.get("job_id").and_then(Value::as_str).unwrap().to_owned()
}

/// Posts ten batches of a hundred jobs and a thousand single jobs by 20 clients; returns every job
/// id.
async fn post_two_thousand(address: std::net::SocketAddr) -> Vec<String> {
    let mut ids = Vec::new();
    let mut client = Client::connect(address).await.unwrap();
    for batch in 0..10 {
        let jobs: Vec<Value> =
            (0..100).map(|n| json!({ "operation": "add", "a": batch, "b": n })).collect();
        let answer = client.post("/jobs/batch", json!({ "jobs": jobs }).to_string()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.get("count")), (202, Some(&json!(100))));
        let returned = answer.body.get("job_ids").and_then(Value::as_array).unwrap();
        ids.extend(returned.iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    let mut posting = JoinSet::new();
    for _ in 0..20 {
        posting.spawn(async move {
            let mut client = Client::connect(address).await.unwrap();
            let mut ids = Vec::new();
            for n in 0..50 {
                let answer =
                    client.post("/jobs/multiply", format!(r#"{{"a":{n},"b":2}}"#)).await.unwrap();
                assert_eq!(answer.status, 202);
                ids.push(id(&answer));
            }
            ids
        });
    }
    ids.extend(posting.join_all().await.into_iter().flatten());
    ids
}

async fn check_all_run_once(
    process: &TestProcess,
    ids: &[String],
    work_server: std::net::SocketAddr,
) {
    eventually("all jobs are run", Duration::from_secs(60), || async {
        (runs(process).len() >= ids.len()).then_some(())
    })
    .await;
    let info = eventually("all acks have arrived", Duration::from_secs(20), || async move {
        let info = WireClient::connect(work_server).await.info().await.faktory;
        (info.sets.working == 0 && info.total_enqueued == 0).then_some(info)
    })
    .await;
    let runs = runs(process);
    assert_eq!(runs.len(), ids.len());
    assert!(ids.iter().all(|id| runs.get(id) == Some(&1)), "every id is run exactly once");
    assert_eq!((info.total_processed, info.total_failures), (ids.len() as u64, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_in_batches_and_a_thousand_single_posts_are_each_run_exactly_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = binary::start(folder.path(), &[]);
    let (api, broker) = (process.address_on("  API ").await, process.address_on("  broker ").await);
    let ids = post_two_thousand(api).await;
    assert_eq!(ids.len(), 2000);
    check_all_run_once(&process, &ids, broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_and_worker_run_alone_against_any_work_server() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let url = format!("tcp://{}", server.address());
        let folder = tempfile::tempdir().unwrap();
        let api = binary::command(&["api"], folder.path(), &[("FAKTORY_URL", &url)]);
        let worker = binary::command(&["worker"], folder.path(), &[("FAKTORY_URL", &url)]);
        let ids = post_two_thousand(api.address_on("  API ").await).await;
        check_all_run_once(&worker, &ids, server.address()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_faktory_url_set_no_broker_is_started() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start_with(kind, Some("secret")).await;
        let url = format!("tcp://:secret@{}", server.address());
        let folder = tempfile::tempdir().unwrap();
        let process = binary::start(folder.path(), &[("FAKTORY_URL", &url)]);
        let line = process.line_with("  Faktory ").await;
        assert!(line.contains("[redacted]") && !line.contains("secret@"), "{line}");
        let api = process.address_on("  API ").await;
        let answer = http::post(api, "/jobs/add", r#"{"a":40,"b":2}"#).await.unwrap();
        process.line_with(&format!("jid={}", id(&answer))).await;
        assert!(!process.output().contains("embedded"), "{}", process.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_alone_is_a_work_server_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let broker = binary::command(&["broker"], folder.path(), &[("BROKER_PASSWORD", "secret")]);
    let url = format!("tcp://:secret@{}", broker.address_on("  broker ").await);
    let process = binary::start(folder.path(), &[("FAKTORY_URL", &url)]);
    let answer = http::post(process.address_on("  API ").await, "/jobs/add", r#"{"a":1,"b":2}"#)
        .await
        .unwrap();
    let line = process.line_with(&format!("jid={}", id(&answer))).await;
    assert!(line.contains("result=3"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_answers_for_its_health() {
    let folder = tempfile::tempdir().unwrap();
    let address = binary::free_address();
    let server = WorkServer::broker().await;
    let url = format!("tcp://{}", server.address());
    let _worker = binary::command(
        &["worker"],
        folder.path(),
        &[("FAKTORY_URL", &url), ("WORKER_BIND_ADDR", &address.to_string())],
    );
    eventually("the worker is ready", Duration::from_secs(20), || async move {
        http::get(address, "/ready").await.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(http::get(address, "/health").await.unwrap().status, 200);
}
