//! Typed jobs of a registry of one's own are run, and each result is logged.

use std::time::Duration;

use job_types::jobs::{Add, Divide};
use job_types::{Finite, JobContext, Registry, RunError, RunJob, define_job};
use testkit::{Logged, WorkServer, eventually};
use worker_service::{QueueOrder, Worker, WorkerConfig};

use crate::jobs::{job, pushb};

define_job! {
    /// Halves a number.
    struct Halve = "halve" { number: Finite }
}

impl RunJob for Halve {
    type Output = f64;

    async fn run(self, _: JobContext) -> Result<f64, RunError> {
        Ok(self.number.get() / 2.0)
    }
}

define_job! {
    /// Fails so many times, and then says what its context says.
    struct Later = "later" { failures: u64 }
}

impl RunJob for Later {
    type Output = String;

    async fn run(self, context: JobContext) -> Result<String, RunError> {
        tokio::task::yield_now().await;
        let (attempt, left) = (context.attempt(), context.remaining_retries());
        if u64::from(attempt) <= self.failures {
            return Err(RunError::retryable("early", "too early"));
        }
        Ok(format!("{attempt}/{left}/{}/{}", context.job_id(), context.queue()))
    }
}

define_job! {
    /// Waits until the worker is to end.
    struct Wait = "wait" { text: String }
}

impl RunJob for Wait {
    type Output = String;

    async fn run(self, context: JobContext) -> Result<String, RunError> {
        tracing::info!("waiting");
        context.cancelled().await;
        Ok(self.text)
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

#[tokio::test]
async fn a_typed_job_learns_its_attempt_its_retries_its_id_and_its_queue() {
    let log = Logged::here();
    let server = WorkServer::broker().await;
    let registry = Registry::new().with::<Later>();
    let config = WorkerConfig::new(server.link())
        .with(|worker| worker.queues = QueueOrder::strict(["default", "q"]).unwrap());
    let worker = Worker::builder(config).register_jobs(&registry).start().unwrap();
    let mut client = server.client().await;
    let in_q = r#"{"jid":"job-00000002","jobtype":"later","args":[0],"queue":"q","retry":0}"#;
    client.ask(&pushb(&[job(1, "later", "[1]", 3), in_q.to_owned()])).await;
    eventually("the first has failed", Duration::from_secs(30), || {
        let client = server.client();
        async move { (client.await.info().await.faktory.sets.retries == 1).then_some(()) }
    })
    .await;
    client.ask(r#"MUTATE {"cmd":"requeue","target":"retries"}"#).await;
    eventually("both are done", Duration::from_secs(30), || async {
        (log.lines_with("job done").len() == 2).then_some(())
    })
    .await;
    worker.stop(Duration::from_secs(10)).await;
    for expected in ["2/2/job-00000001/default", "1/0/job-00000002/q"] {
        assert_eq!(log.lines_with(expected).len(), 1, "{expected}: {:?}", log.lines_with("job"));
    }
}

#[tokio::test]
async fn a_typed_job_learns_that_the_worker_is_to_end() {
    let log = Logged::here();
    let server = WorkServer::broker().await;
    let registry = Registry::new().with::<Wait>();
    let worker = Worker::builder(WorkerConfig::new(server.link())).register_jobs(&registry);
    let worker = worker.start().unwrap();
    server.client().await.ask(&pushb(&[job(1, "wait", r#"["for the end"]"#, 0)])).await;
    eventually("it runs", Duration::from_secs(30), || async {
        (log.lines_with("waiting").len() == 1).then_some(())
    })
    .await;
    worker.stop(Duration::from_secs(3600)).await;
    let done = log.lines_with("job done");
    assert!(done.len() == 1 && done[0].contains("for the end"), "{done:?}");
}

/// Posted as a raw job, it has passed no check of the API.
#[tokio::test]
async fn a_typed_job_with_args_that_its_check_refuses_fails_for_good() {
    let log = Logged::here();
    let server = WorkServer::broker().await;
    let registry = Registry::new().with::<Divide>();
    let worker = Worker::builder(WorkerConfig::new(server.link())).register_jobs(&registry);
    let worker = worker.start().unwrap();
    server.client().await.ask(&pushb(&[job(1, "divide", "[1,0]", 25)])).await;
    eventually("the job is dead", Duration::from_secs(30), || {
        let client = server.client();
        async move { (client.await.info().await.faktory.sets.dead == 1).then_some(()) }
    })
    .await;
    worker.stop(Duration::from_secs(10)).await;
    let failed = log.lines_with("job failed for good");
    assert!(failed[0].contains("kind=invalid_args error=b must not be 0"), "{failed:?}");
}
