//! A worker process that is stopped for longer than it waits for replies, and runs again.

use std::sync::Arc;
use std::time::Duration;

use testkit::{TestProcess, WorkServer, WorkServerKind, eventually};
use tokio::task::JoinSet;

/// Pauses of one worker.
const PAUSES: usize = 3;
/// The shortest that a worker takes.
const READ_TIMEOUT: &str = "3s";
/// Longer than the timeout, and than the 2 s of a FETCH.
const PAUSE: Duration = Duration::from_millis(3500);

/// A worker with one fetch lane on a queue of its own.
async fn worker(url: &str, queue: &str) -> TestProcess {
    let variables = [
        ("FAKTORY_URL", url),
        ("FAKTORY_READ_TIMEOUT", READ_TIMEOUT),
        ("FAKTORY_MAX_CONNECTIONS", "2"),
        ("WORKER_CONCURRENCY", "1"),
        ("WORKER_QUEUES", queue),
    ];
    let process = TestProcess::start(env!("CARGO_BIN_EXE_worker-service"), &[], &variables);
    process.line_with("connected to the work server").await;
    process
}

/// Stops a worker again and again, each time at another moment of its FETCH, with a job for it;
/// returns the worker.
async fn stop_again_and_again(server: &WorkServer, number: usize) -> TestProcess {
    let queue = format!("queue-{number}");
    let process = worker(&format!("tcp://{}", server.address()), &queue).await;
    let mut client = server.client().await;
    for pause in 0..PAUSES {
        // Another phase of the 2 s of a FETCH.
        tokio::time::sleep(Duration::from_millis(300 * (number + 4 * pause) as u64 % 2000)).await;
        process.signal("STOP").await;
        let jid = format!("job-{number:03}-{pause:03}");
        let times = r#""retry":0,"reserve_for":600"#;
        let job = format!(
            r#"PUSHB [{{"jid":"{jid}","jobtype":"add","args":[1,2],"queue":"{queue}",{times}}}]"#
        );
        client.ask(&job).await;
        tokio::time::sleep(PAUSE).await;
        process.signal("CONT").await;
        let done = format!("jid={jid}");
        process.line_with(&done).await;
        let output = process.output();
        assert_eq!(output.matches(&done).count(), 1, "{output}");
    }
    process
}

#[tokio::test]
async fn a_job_that_came_while_the_worker_was_stopped_is_run_and_acknowledged() {
    for kind in WorkServerKind::all() {
        let server = Arc::new(WorkServer::start(kind).await);
        let mut workers = JoinSet::new();
        for number in 0..4 {
            let server = Arc::clone(&server);
            workers.spawn(async move { stop_again_and_again(&server, number).await });
        }
        let _workers = workers.join_all().await;
        eventually("all are acknowledged", Duration::from_secs(30), || async {
            let info = server.client().await.info().await.faktory;
            let all = (info.sets.working, info.total_processed, info.total_failures);
            (all == (0, 4 * PAUSES as u64, 0)).then_some(())
        })
        .await;
    }
}
