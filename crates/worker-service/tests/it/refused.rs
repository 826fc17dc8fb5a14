//! A worker whose connections are refused for good, for one reason or another: it tries again, and
//! not with all its lanes.

use std::time::Duration;

use faktory_link::LinkConfig;
use testkit::{Quirky, eventually};
use worker_service::{Job, Worker, WorkerConfig};

/// The connections that the worker may have.
const CONNECTIONS: usize = 50;
/// The time for which refusals are counted. Each lane by itself would try five times in it.
const COUNTED: Duration = Duration::from_secs(2);

/// Starts a worker on a server that greets so, and answers the HELLO so where there is one; returns
/// the connections that it made.
async fn connections(greeting: &'static str, to_hello: &'static str) -> usize {
    let server = Quirky::start(move |_, mut session| async move {
        session.send(greeting).await;
        if session.line().await.is_some() {
            session.send(to_hello).await;
        }
    })
    .await;
    let password = Some("secret".into());
    let link = LinkConfig { max_connections: CONNECTIONS, password, ..server.link() };
    let config = WorkerConfig::new(link).with(|worker| worker.concurrency = CONNECTIONS);
    let worker = Worker::builder(config).register_fn("t", |_: Job| async {}).start().unwrap();
    eventually("every lane has tried", Duration::from_secs(30), || async {
        (server.accepted() >= CONNECTIONS - 10).then_some(())
    })
    .await;
    tokio::time::sleep(COUNTED).await;
    worker.stop(Duration::from_secs(5)).await;
    server.accepted()
}

#[tokio::test]
async fn while_a_work_server_refuses_one_lane_tries_again_and_the_others_wait_for_it() {
    let strong = "+HI {\"v\":2,\"s\":\"0123456789abcdef\",\"i\":1000}\r\n";
    for (greeting, to_hello) in [
        ("+HI {\"v\":2,\"i\":1}\r\n", ""),
        ("+HI {\"v\":2,\"s\":\"0123456789abcdef\"}\r\n", ""),
        (strong, "-ERR Invalid password\r\n"),
        ("+HI {\"v\":2}\r\n", "-ERR Unsupported version\r\n"),
        ("-ERR too many clients\r\n", ""),
        ("HTTP/1.1 400 Bad Request\r\n", ""),
    ] {
        let connections = connections(greeting, to_hello).await;
        // Each lane once, and the first ack lane with growing pauses.
        assert!(connections < 2 * CONNECTIONS, "{greeting}{to_hello}: {connections}");
    }
}
