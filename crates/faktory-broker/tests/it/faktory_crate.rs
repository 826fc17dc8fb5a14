//! The client and the worker of the faktory crate work with the broker, and with a real Faktory
//! where one is named.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use faktory::mutate::{Filter, JobSet};
use faktory::{Client, Job, WorkerBuilder};
use testkit::{WorkServer, WorkServerKind};

async fn connect(server: &WorkServer) -> Client {
    Client::connect_to(&url(server)).await.unwrap()
}

fn url(server: &WorkServer) -> String {
    let password =
        server.link().password.map(|password| format!(":{password}@")).unwrap_or_default();
    format!("tcp://{password}{}", server.address())
}

fn job(kind: &str, queue: &str) -> Job {
    Job::builder(kind).queue(queue).args(vec![1]).build()
}

#[expect(deprecated, reason = "the crate has no other way to the sizes of sets")]
async fn scheduled(client: &mut Client) -> u64 {
    let tasks = serde_json::to_value(client.current_info().await.unwrap().data.tasks).unwrap();
    tasks.pointer("/Scheduled/size").unwrap().as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_the_faktory_crate_pushes_asks_and_mutates() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start_with(kind, Some("secret")).await;
        let mut client = connect(&server).await;
        client.enqueue(job("one", "alpha")).await.unwrap();
        let many: Vec<Job> = (0..50).map(|_| job("many", "beta")).collect();
        let (count, errors) = client.enqueue_many(many).await.unwrap();
        assert_eq!((count, errors), (50, None), "{kind:?}");

        let info = client.current_info().await.unwrap();
        assert_eq!(info.data.queues.get("beta"), Some(&50), "{kind:?}");
        assert_eq!(info.data.total_enqueued, 51);

        client.queue_pause(&["alpha"]).await.unwrap();
        client.queue_resume(&["alpha"]).await.unwrap();
        client.queue_remove(&["beta"]).await.unwrap();
        assert_eq!(client.current_info().await.unwrap().data.total_enqueued, 1, "{kind:?}");

        let later = Job::builder("later")
            .args(vec![1])
            .at("2100-01-01T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap())
            .build();
        client.enqueue(later).await.unwrap();
        assert_eq!(scheduled(&mut client).await, 1);
        client.requeue(JobSet::Scheduled, Filter::from_kind("later")).await.unwrap();
        assert_eq!(scheduled(&mut client).await, 0, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_of_the_faktory_crate_acknowledges_and_fails_jobs() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let mut client = connect(&server).await;
        let jobs: Vec<Job> = (0..20)
            .map(|number| {
                Job::builder(if number < 15 { "good" } else { "bad" }).args(vec![number]).build()
            })
            .collect();
        client.enqueue_many(jobs).await.unwrap();

        let runs: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let counter = Arc::clone(&runs);
        let mut worker = WorkerBuilder::default()
            .register_fn("good", move |job: Job| {
                *counter.lock().unwrap().entry(job.id().to_string()).or_default() += 1;
                async { Ok::<(), std::io::Error>(()) }
            })
            .register_fn("bad", |_| async { Err(std::io::Error::other("on purpose")) })
            .connect_to(&url(&server))
            .await
            .unwrap();
        for _ in 0..20 {
            assert!(worker.run_one(0, &["default"]).await.unwrap(), "{kind:?}");
        }
        assert_eq!(runs.lock().unwrap().len(), 15);
        assert!(runs.lock().unwrap().values().all(|count| *count == 1), "{kind:?}");
        let data = client.current_info().await.unwrap().data;
        assert_eq!((data.total_processed, data.total_failures), (20, 5), "{kind:?}");
        let sets = server.client().await.info().await.faktory.sets;
        assert_eq!((sets.retries, sets.working), (5, 0), "{kind:?}");
    }
}
