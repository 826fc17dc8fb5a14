//! Commands that ask for much: others are served beside them, and their bounds are told.

use faktory_wire::{PushResults, Reply};
use testkit::WorkServer;

fn job(jid: &str, queue: &str) -> String {
    format!(r#"{{"jid":"{jid}","jobtype":"t","args":[],"queue":"{queue}"}}"#)
}

/// A PUSHB of jobs, each in a queue of its own.
fn into_queues(from: usize, to: usize) -> String {
    let jobs: Vec<_> =
        (from..to).map(|n| job(&format!("job-{n:08}"), &format!("queue-{n:08}"))).collect();
    format!("PUSHB [{}]", jobs.join(","))
}

#[tokio::test]
async fn others_are_answered_while_a_large_pushb_is_stored() {
    let server = WorkServer::broker().await;
    let (mut large, mut other) = (server.client().await, server.client().await);
    let jobs: Vec<_> = (0..20_000).map(|n| job(&format!("job-{n:08}"), "many")).collect();
    large.send(&format!("PUSHB [{}]", jobs.join(","))).await;
    // The answers to these pushes do not wait for the answer to the PUSHB. The line of the PUSHB is
    // so long that its connection parses it elsewhere, and keeps its order all the same.
    large.send(&format!("PUSH {}", job("job-behind-it", "behind"))).await;
    for number in 0..20 {
        let line = format!("PUSH {}", job(&format!("job-between-{number:08}"), "between"));
        assert_eq!(other.ask(&line).await, Reply::OK);
    }
    let Some(Reply::Bulk(body)) = large.read().await else { panic!("no answer") };
    assert!(PushResults::parse(&body).unwrap().is_empty());
    assert_eq!(large.read().await, Some(Reply::OK));
    let queues = other.info().await.faktory.queues;
    assert_eq!((queues["many"], queues["behind"], queues["between"]), (20_000, 1, 20));
    assert_eq!(other.fetch("many").await.unwrap().jid, "job-00000000");
}

#[tokio::test]
async fn the_memory_of_unread_replies_is_bounded_and_their_client_gets_them_when_it_reads() {
    let server = WorkServer::broker().await;
    let mut pusher = server.client().await;
    assert_eq!(pusher.ask(&into_queues(0, 20_000)).await, Reply::Bulk("{}".into()));
    let mut silent = Vec::new();
    for _ in 0..5 {
        let mut client = server.client().await;
        for _ in 0..100 {
            client.send("INFO").await;
        }
        silent.push(client);
    }
    for number in 0..50 {
        let line = format!("PUSH {}", job(&format!("job-between-{number:08}"), "between"));
        assert_eq!(pusher.ask(&line).await, Reply::OK);
    }
    // All at a time: a client that reads nothing for a minute loses its connection, and where the
    // machine is busy, the last one would wait for so long until the others have read.
    let reading = silent.into_iter().map(async |mut client| {
        for _ in 0..100 {
            let reply = client.read().await;
            let is_whole = |body: &[u8]| body.len() > 20_000 * 17;
            assert!(matches!(&reply, Some(Reply::Bulk(body)) if is_whole(body)), "no INFO");
        }
    });
    futures_util::future::join_all(reading).await;
}

#[tokio::test]
async fn a_client_of_small_replies_goes_on_where_others_use_up_the_memory_of_replies() {
    let server = WorkServer::broker().await;
    let mut pusher = server.client().await;
    let args = "a".repeat(8 << 20);
    let mut silent = Vec::new();
    // More than the bound and the buffers of the sockets.
    for number in 0..14 {
        let line = format!(
            r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":["{args}"],"queue":"large"}}"#
        );
        assert_eq!(pusher.ask(&line).await, Reply::OK);
        let mut client = server.client().await;
        client.send("FETCH large").await;
        silent.push(client);
    }
    let mut honest = server.client().await;
    for number in 0..20 {
        let line = format!("PUSH {}", job(&format!("job-small-{number:08}"), "small"));
        assert_eq!(pusher.ask(&line).await, Reply::OK);
        assert!(honest.fetch("small").await.is_some());
    }
    // A job whose reply found no room was not lost.
    let mut answers = 0;
    for mut client in silent {
        match client.read().await {
            Some(Reply::Bulk(_)) => answers += 1,
            reply => assert_eq!(reply, Some(Reply::Nothing)),
        }
    }
    let left = pusher.info().await.faktory.queues["large"];
    assert_eq!(answers + left, 14);
}

#[tokio::test]
async fn a_command_over_a_bound_is_told_the_bound_and_the_connection_goes_on() {
    let server = WorkServer::broker().await;
    let mut client = server.client().await;
    let ids = vec![r#""job-00000001""#; 100_001].join(",");
    let long = "x".repeat(2000);
    for (line, expected) in [
        (format!("FETCH{}", " q".repeat(1001)), "ERR FETCH takes at most 1000 queues"),
        (
            format!("QUEUE PAUSE{}", " q".repeat(10_001)),
            "ERR QUEUE PAUSE takes at most 10000 queues",
        ),
        (
            format!(r#"MUTATE {{"cmd":"kill","target":"dead","filter":{{"jids":[{ids}]}}}}"#),
            "more than 100000 ids in one MUTATE",
        ),
        (format!("ACK {}", "x".repeat(2 << 20)), "ERR ACK takes at most 1048576 bytes"),
        (format!("PUSH {}", job(&long, "q")), "ERR jobs must have a jid of at most 1024 bytes"),
    ] {
        match client.ask(&line).await {
            Reply::Error(text) => assert!(text.contains(expected), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.ask(&format!(r#"ACK {{"jid":"{long}"}}"#)).await, Reply::OK);
    let fail = client.ask(&format!(r#"FAIL {{"jid":"{long}"}}"#)).await;
    assert!(matches!(fail, Reply::Error(text) if text.contains("Job not found")));
    assert_eq!(client.ask("FLUSH").await, Reply::OK);
}
