//! The metrics of a worker.

use std::time::Duration;

use testkit::{WorkServer, eventually, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use worker_service::{Worker, WorkerConfig};

use crate::jobs::{job, pushb};

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_metric_of_a_worker_is_served_and_no_unknown_job_type_is_a_label() {
    let server = WorkServer::broker().await;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker =
        Worker::builder(WorkerConfig::new(server.link())).register_fn("known", |_| async {});
    let worker = worker.serve_health(Some(address)).await.unwrap().start().unwrap();
    let mut client = server.client().await;
    for (number, job_type) in ["known", "unheard-of"].into_iter().enumerate() {
        client.ask(&pushb(&[job(number, job_type, "[]", 3)])).await;
    }
    let text = eventually("both have ended", Duration::from_secs(30), || async {
        let text = http::get_text(address, "/metrics").await.unwrap();
        let done =
            text.contains(r#"work_factory_worker_runs_total{job_type="known",outcome="done"} 1"#);
        let failed =
            text.contains(r#"work_factory_worker_runs_total{job_type="other",outcome="failed"} 1"#);
        let acknowledged = text.contains(r#"work_factory_worker_jobs{state="unacknowledged"} 0"#);
        (done && failed && acknowledged).then_some(text)
    })
    .await;
    let documented = service_runtime::metrics::METRICS
        .iter()
        .filter(|metric| metric.name.starts_with("work_factory_worker_"));
    for metric in documented {
        assert!(
            text.contains(&format!("# TYPE {} ", metric.name)),
            "{} is missing:\n{text}",
            metric.name
        );
    }
    assert!(!text.contains("unheard-of"), "what users write is no label");
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_on_a_loopback_address_tells_its_figures_under_no_foreign_name() {
    let server = WorkServer::broker().await;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker =
        Worker::builder(WorkerConfig::new(server.link())).register_fn("known", |_| async {});
    let worker = worker.serve_health(Some(address)).await.unwrap().start().unwrap();
    for (host, path, status) in [
        ("localhost", "/metrics", "200"),
        ("127.0.0.1:3001", "/metrics", "200"),
        ("evil.example:3001", "/metrics", "403"),
        ("evil.example:3001", "/health", "200"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{host} {path}");
    }
    worker.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn silent_connections_keep_nobody_from_asking_a_worker_for_its_health() {
    let server = WorkServer::broker().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = WorkerConfig { health_connections: 10, ..WorkerConfig::new(server.link()) };
    let worker = Worker::builder(config).register_jobs(&job_types::jobs::registry());
    let worker = worker.serve_health(Some(address)).await.unwrap().start().unwrap();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
        let answer = http::get(address, "/health").await.unwrap();
        assert_eq!(answer.status, 200);
    }
    drop(silent);
    worker.stop(std::time::Duration::from_secs(5)).await;
}
