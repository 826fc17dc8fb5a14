//! Typed jobs of a registry of one's own are run, and each result is logged.

use std::time::Duration;

use job_types::jobs::Add;
use job_types::{Finite, Registry, RunError, RunJob, define_job};
use testkit::{Logged, WorkServer, eventually};
use worker_service::{Worker, WorkerConfig};

use crate::jobs::{job, pushb};

define_job! {
    /// Halves a number.
    struct Halve = "halve" { number: Finite }
}

impl RunJob for Halve {
    fn run(self) -> Result<String, RunError> {
        Ok((self.number.get() / 2.0).to_string())
    }
}

#[tokio::test]
async fn a_job_type_of_ones_own_is_run_and_its_result_is_logged() {
    let log = Logged::here();
    let server = WorkServer::broker().await;
    let registry = Registry::new().with::<Halve>();
    let worker = Worker::builder(WorkerConfig::new(server.link())).register_jobs(&registry);
    let worker = worker.start().unwrap();
    let mut client = server.client().await;
    client.ask(&pushb(&[job(1, "halve", "[5]", 0), job(2, "add", "[1,2]", 0)])).await;
    eventually("both jobs have ended", Duration::from_secs(30), || {
        let client = server.client();
        async move { (client.await.info().await.faktory.total_processed == 2).then_some(()) }
    })
    .await;
    worker.stop(Duration::from_secs(10)).await;
    let done = log.lines_with("job done");
    assert!(done.len() == 1 && done[0].contains("job_type=halve result=2.5"), "{done:?}");
    let failed = log.lines_with("job failed");
    assert!(failed.len() == 1 && failed[0].contains("registered are: halve"), "{failed:?}");
}

#[tokio::test]
async fn a_worker_with_two_jobs_of_one_name_does_not_start() {
    let registry = Registry::new().with::<Add>().with::<Halve>().with::<Add>();
    let link = faktory_link::LinkConfig::new("127.0.0.1", 9);
    let worker = Worker::builder(WorkerConfig::new(link)).register_jobs(&registry);
    let Err(error) = worker.start() else { panic!("it has started") };
    assert!(error.to_string().contains("two typed jobs have the name add"), "{error}");
}
