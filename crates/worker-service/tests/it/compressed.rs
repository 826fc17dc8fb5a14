//! Args that the API stored in compressed form: our worker, and one in another language, unpack
//! them.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_service::ApiConfig;
use serde_json::{Value, json};
use service_runtime::QueueSet;
use testkit::{TestApi, WorkServer, WorkServerKind, eventually, http};
use worker_service::{Job, Worker, WorkerConfig};

/// Args with what a careless way through another encoding would change.
fn args() -> Value {
    json!([{ "lines": vec!["ünïcode \u{1F600} \" \\ </script> +/= "; 100], "price": 0.1 }, 7])
}

async fn post(api: &TestApi, compress: Option<bool>) {
    let mut job = json!({ "jobtype": "archive", "args": args(), "custom": { "tenant": "t1" } });
    if let Some(compress) = compress {
        job["compress"] = compress.into();
    }
    let answer = http::post(api.address(), "/jobs", job.to_string()).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
}

async fn start(server: &WorkServer, queues: QueueSet, from: Option<usize>) -> TestApi {
    let config = ApiConfig::new(server.link()).with(|api| {
        (api.compress_queues, api.compress_from) = (queues, from);
    });
    TestApi::start_with(config).await
}

#[tokio::test]
async fn args_are_compressed_only_in_the_queues_that_are_named() {
    let server = WorkServer::broker().await;
    let mut client = server.client().await;
    let api = start(&server, QueueSet::of(["archive"]), Some(1)).await;
    api.ready().await;
    let job = |queue: &str, compress: Option<bool>| {
        let mut job = json!({ "jobtype": "archive", "args": args(), "queue": queue });
        if let Some(compress) = compress {
            job["compress"] = compress.into();
        }
        job
    };
    for (queue, compress, status, is_compressed) in [
        ("archive", None, 202, true),
        ("archive", Some(true), 202, true),
        ("archive", Some(false), 202, false),
        ("default", None, 202, false),
        ("default", Some(false), 202, false),
        ("default", Some(true), 422, false),
    ] {
        let one = job(queue, compress);
        let answer = http::post(api.address(), "/jobs", one.to_string()).await.unwrap();
        assert_eq!(answer.status, status, "{queue} {compress:?}: {}", answer.body);
        let batch = json!({ "jobs": [job(queue, None), one] });
        let of_batch = http::post(api.address(), "/jobs/batch", batch.to_string()).await.unwrap();
        assert_eq!(of_batch.status, status, "{queue} {compress:?}: {}", of_batch.body);
        if status == 202 {
            let stored = client.fetch(queue).await.unwrap();
            let wf = stored.custom.as_ref().is_some_and(|custom| custom.get().contains("wf"));
            assert_eq!(wf, is_compressed, "{queue} {compress:?}");
            assert_eq!(stored.args_json().contains("lines"), !is_compressed);
            while client.fetch(queue).await.is_some() {}
            continue;
        }
        for (answer, pointer) in [(answer, "/compress"), (of_batch, "/jobs/1/compress")] {
            assert_eq!(answer.body["code"], "compression_not_enabled");
            assert_eq!(answer.body["errors"][0]["pointer"], pointer);
            assert!(answer.body["detail"].as_str().unwrap().contains("COMPRESS_QUEUES"));
        }
        assert!(client.fetch(queue).await.is_none(), "nothing is stored");
    }
}

#[tokio::test]
async fn args_are_compressed_by_their_size_or_by_the_jobs_own_word() {
    let server = WorkServer::broker().await;
    let mut client = server.client().await;
    let size = args().to_string().len();
    for (from, word, expected) in [
        (None, None, false),
        (None, Some(true), true),
        (Some(size), None, true),
        (Some(size), Some(false), false),
        (Some(size + 1), None, false),
    ] {
        let api = start(&server, QueueSet::all(), from).await;
        api.ready().await;
        post(&api, word).await;
        let stored = client.fetch("default").await.unwrap();
        let custom: Value = serde_json::from_str(stored.custom.as_ref().unwrap().get()).unwrap();
        assert_eq!(custom["tenant"], "t1");
        assert_eq!(custom.get("wf").is_some(), expected, "{from:?} {word:?}");
        assert_eq!(stored.args_json().len() < size / 2, expected, "{from:?} {word:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handler_sees_the_args_that_were_posted() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let api = start(&server, QueueSet::all(), None).await;
        let seen: Arc<Mutex<Vec<Job>>> = Arc::default();
        let log = Arc::clone(&seen);
        let worker = Worker::builder(WorkerConfig::new(server.link()))
            .register_fn("archive", move |job: Job| {
                log.lock().unwrap().push(job);
                async {}
            })
            .start()
            .unwrap();
        post(&api, Some(true)).await;
        let job = eventually("the job has run", Duration::from_secs(30), || {
            let job = seen.lock().unwrap().pop();
            async move { job }
        })
        .await;
        assert_eq!(serde_json::from_str::<Value>(job.args_json()).unwrap(), args());
        assert_eq!(job.custom.unwrap().get(), r#"{"tenant":"t1"}"#);
        worker.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_in_another_language_unpacks_them_with_a_few_lines() {
    let Some(python) = python() else { return };
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let api = start(&server, QueueSet::all(), None).await;
        post(&api, Some(true)).await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unpack.py");
        let mut command = Command::new(python);
        command.arg(script).arg(server.link().port.to_string());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), args());
    }
}

/// A Python with zstd; CI has one.
fn python() -> Option<&'static str> {
    let works = |python: &&str| {
        let probe = "try:\n import compression.zstd\nexcept ImportError:\n import zstandard";
        let status = Command::new(python).args(["-c", probe]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(works);
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "no Python with zstd: Debian's python3-zstandard"
    );
    found
}
