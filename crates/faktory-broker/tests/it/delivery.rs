//! Jobs whose replies did not reach the client. Faktory keeps such jobs reserved for a client that
//! is gone; the broker does not.

use std::time::Duration;

use faktory_wire::Reply;
use testkit::{WorkServer, eventually};

#[tokio::test]
async fn a_job_sent_into_a_reset_connection_is_offered_again_at_once() {
    client_resets(WorkServer::broker().await).await;
}

#[tokio::test]
async fn a_job_sent_into_a_reset_tls_connection_is_offered_again_at_once() {
    client_resets(WorkServer::broker_with_tls().await).await;
}

async fn client_resets(server: WorkServer) {
    let mut pusher = server.client().await;
    let mut dying = server.client().await;
    dying.send("FETCH default").await;
    // The client fetches more bytes than the buffers of the sockets hold, reads nothing, and resets
    // its connection.
    let big = "x".repeat(1 << 20);
    for number in 0..12 {
        pusher
            .ask(&format!(r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":["{big}"]}}"#))
            .await;
        dying.send("FETCH default").await;
    }
    // The buffers fill up, and then no further FETCH is carried out for this client.
    let mut watcher = server.client().await;
    let (mut working, mut unchanged) = (0, 0);
    while working < 3 || unchanged < 20 {
        let now = watcher.info().await.faktory.sets.working;
        unchanged = if now == working { unchanged + 1 } else { 0 };
        working = now;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    dying.reset();
    // Jobs that had arrived in the client's buffers count as delivered. The others must return, in
    // order.
    let back = eventually("undelivered jobs have returned", Duration::from_secs(20), || {
        let mut watcher = Box::pin(server.client());
        async move {
            let info = watcher.as_mut().await.info().await.faktory;
            (info.sets.working < working).then_some(info.total_enqueued)
        }
    })
    .await;
    let mut last = String::new();
    for _ in 0..back {
        let job = pusher.fetch("default").await.unwrap();
        assert!(job.jid > last, "{} after {last}", job.jid);
        last = job.jid;
    }
    assert_eq!(last, "job-00000011");
}

#[tokio::test]
async fn pipelined_fetches_of_a_closed_connection_are_not_executed() {
    for server in [WorkServer::broker().await, WorkServer::broker_with_tls().await] {
        client_half_closes(server).await;
    }
}

async fn client_half_closes(server: WorkServer) {
    let mut pusher = server.client().await;
    let mut closing = server.client().await;
    for _ in 0..20 {
        closing.send("FETCH default").await;
    }
    closing.half_close().await;
    for _ in 0..20 {
        assert_eq!(closing.read().await, Some(Reply::Nothing));
    }
    assert_eq!(closing.read().await, None);
    pusher.ask(r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#).await;
    assert_eq!(pusher.fetch("default").await.unwrap().jid, "job-00000001");
}

#[tokio::test]
async fn a_job_stays_reserved_for_a_client_that_read_it_and_left() {
    for server in [WorkServer::broker().await, WorkServer::broker_with_tls().await] {
        client_leaves(server).await;
    }
}

async fn client_leaves(server: WorkServer) {
    let mut pusher = server.client().await;
    pusher.ask(r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#).await;
    let mut leaving = server.client().await;
    assert!(leaving.fetch("default").await.is_some());
    drop(leaving);
    assert_eq!(pusher.fetch("default").await, None);
    assert_eq!(pusher.info().await.faktory.sets.working, 1);
    // The reservation ends as every other does: here by an ACK over another connection.
    assert_eq!(pusher.ask(r#"ACK {"jid":"job-00000001"}"#).await, Reply::OK);
    assert_eq!(pusher.info().await.faktory.sets.working, 0);
}

#[tokio::test]
async fn a_job_for_a_client_that_left_goes_back_although_its_connection_goes_on() {
    for server in [WorkServer::broker().await, WorkServer::broker_with_tls().await] {
        client_leaves_behind_fetches(server).await;
    }
}

async fn client_leaves_behind_fetches(server: WorkServer) {
    let (mut pusher, mut other) = (server.client().await, server.client().await);
    let mut leaving = server.client().await;
    // More FETCHes than are read before the first is answered: the end behind them is not read.
    leaving.send_raw(format!("INFO\r\n{}", "FETCH default\r\n".repeat(500)).as_bytes()).await;
    leaving.half_close().await;
    assert!(matches!(leaving.read().await, Some(Reply::Bulk(_))));
    // The other client waits behind the one that left.
    other.send("FETCH default").await;
    pusher.info().await;
    pusher.ask(r#"PUSH {"jid":"job-00000002","jobtype":"t","args":[]}"#).await;
    let reply = other.read().await;
    let is_the_job = |body: &[u8]| String::from_utf8_lossy(body).contains("job-00000002");
    assert!(matches!(&reply, Some(Reply::Bulk(body)) if is_the_job(body)), "{reply:?}");
    assert_eq!(pusher.info().await.faktory.sets.working, 1);
}

#[tokio::test]
async fn jobs_behind_a_reply_that_a_client_that_left_does_not_read_go_back() {
    for server in [WorkServer::broker().await, WorkServer::broker_with_tls().await] {
        client_leaves_and_reads_nothing(server).await;
    }
}

async fn client_leaves_and_reads_nothing(server: WorkServer) {
    let (mut pusher, mut leaving) = (server.client().await, server.client().await);
    let args = "x".repeat(300 << 10);
    for number in 0..60 {
        let push = format!(r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":["{args}"]}}"#);
        pusher.ask(&push).await;
        leaving.send("FETCH default").await;
    }
    // The buffers of the sockets fill up, and then so does the room for replies.
    let (mut working, mut unchanged) = (0, 0);
    while working < 3 || unchanged < 20 {
        let now = pusher.info().await.faktory.sets.working;
        unchanged = if now == working { unchanged + 1 } else { 0 };
        working = now;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    leaving.half_close().await;
    // The jobs that wait behind the reply that is being written: two at least, of a room of 1 MiB.
    eventually("the jobs go back", Duration::from_secs(20), || {
        let mut watcher = Box::pin(server.client());
        async move {
            let sets = watcher.as_mut().await.info().await.faktory.sets;
            (sets.working + 2 <= working).then_some(())
        }
    })
    .await;
    drop(leaving);
}
