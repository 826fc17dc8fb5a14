//! The end of a worker: what runs may finish, what does not is failed, nothing stays reserved.

use std::time::Duration;

use testkit::{WorkServer, WorkServerKind, eventually};
use worker_service::{Worker, WorkerConfig};

async fn push(server: &WorkServer, count: usize) {
    let mut client = server.client().await;
    for number in 0..count {
        client.ask(&format!(r#"PUSHB [{{"jid":"job-{number:08}","jobtype":"t","args":[],"retry":3,"reserve_for":60}}]"#)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_may_finish_and_nothing_new_is_begun() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let worker = Worker::builder(WorkerConfig { concurrency: 2, ..WorkerConfig::new(server.link()) })
            .register_fn("t", |_| tokio::time::sleep(Duration::from_millis(500)))
            .start()
            .unwrap();
        push(&server, 10).await;
        eventually("two run", Duration::from_secs(10), || async { (worker.running() == 2).then_some(()) }).await;
        worker.stop(Duration::from_secs(20)).await;
        let info = server.client().await.info().await.faktory;
        assert_eq!((info.sets.working, info.total_failures), (0, 0), "{kind:?}");
        assert_eq!(info.total_processed + info.total_enqueued, 10, "{kind:?}");
        assert!(info.total_processed >= 2, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_time_is_failed_with_the_reason() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let worker = Worker::builder(WorkerConfig { concurrency: 2, ..WorkerConfig::new(server.link()) })
            .register_fn("t", |_| std::future::pending::<()>())
            .start()
            .unwrap();
        push(&server, 2).await;
        eventually("two run", Duration::from_secs(10), || async { (worker.running() == 2).then_some(()) }).await;
        worker.stop(Duration::from_secs(3)).await;
        let info = server.client().await.info().await.faktory;
        assert_eq!((info.sets.working, info.sets.retries, info.total_failures), (0, 2, 2), "{kind:?}");
        let mut client = server.client().await;
        client.ask(r#"MUTATE {"cmd":"requeue","target":"retries"}"#).await;
        let failure = client.fetch("default").await.unwrap().failure.unwrap();
        assert_eq!(failure.errtype, "shutdown", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_work_server_ends_all_the_same() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker = Worker::builder(WorkerConfig::new(faktory_link::LinkConfig::new("127.0.0.1", address.port()))).start().unwrap();
    // Nothing is left to report, so nothing is waited for: far less than the time that it may take.
    tokio::time::timeout(Duration::from_secs(20), worker.stop(Duration::from_secs(3600))).await.unwrap();
}
