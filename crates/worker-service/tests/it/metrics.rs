//! The metrics of a worker.

use std::time::Duration;

use testkit::{WorkServer, eventually, http};
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
