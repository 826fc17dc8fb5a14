//! Replies that a Faktory or a network makes and our broker does not: in pieces, ambiguous, too
//! large, or not the protocol.

use std::time::Duration;

use faktory_link::{Connection, JobOutcome, LinkConfig, LinkError, LinkPool, NotSent, Pusher};
use faktory_wire::{Command, Reply};
use testkit::Quirky;
use tokio::time::Instant;

use crate::push::{job, push};

#[tokio::test]
async fn a_reply_in_three_pieces_is_one_reply() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while session.line().await.is_some() {
            session.send_bulk_in_pieces("{\"job-bad\":\"jobs must have an args parameter\"}").await;
        }
    })
    .await;
    let outcomes = push(server.link(), &["job-good", "job-bad"]).await;
    assert_eq!(
        outcomes,
        [JobOutcome::Stored, JobOutcome::Rejected("jobs must have an args parameter".into())]
    );
}

#[tokio::test]
async fn a_greeting_in_pieces_is_a_greeting() {
    let server = Quirky::start(|_, mut session| async move {
        for piece in ["+HI {\"v\":2", "}", "\r\n"] {
            session.send(piece).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        session.line().await;
        session.send("+OK\r\n").await;
        session.take_everything().await;
    })
    .await;
    assert_eq!(push(server.link(), &["job-00000001"]).await, [JobOutcome::Stored]);
}

#[tokio::test]
async fn too_many_connections_after_the_welcome_is_a_refusal_and_nothing_is_stored() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.send("-ERR too many connections: 2001\r\n").await;
    })
    .await;
    match push(server.link(), &["job-00000001"]).await.as_slice() {
        [JobOutcome::ServerRefuses(detail)] | [JobOutcome::NotSent(NotSent::Refused, detail)] => {
            assert!(detail.contains("too many connections"), "{detail}");
        }
        // The server may have closed the connection before the command was written, or after; the
        // outcome is then unknown.
        [JobOutcome::Unknown(_) | JobOutcome::NotSent(NotSent::Unreachable, _)] => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal() {
    let server =
        testkit::WorkServer::start_with(testkit::WorkServerKind::Broker, Some("right")).await;
    for password in [None, Some("wrong".to_owned())] {
        let outcomes = push(LinkConfig { password, ..server.link() }, &["job-00000001"]).await;
        match outcomes.as_slice() {
            [JobOutcome::NotSent(NotSent::Refused, detail)] => {
                assert!(!detail.contains("wrong"), "{detail}")
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(push(server.link(), &["job-00000001"]).await, [JobOutcome::Stored]);
}

#[tokio::test]
async fn ambiguous_errors_make_the_outcome_unknown_and_clear_errors_do_not() {
    for (text, expected) in [
        ("ERR context deadline exceeded", "unknown"),
        ("ERR read unix @->/redis.sock: i/o timeout", "unknown"),
        ("ERR something nobody has seen", "unknown"),
        ("ERR MISCONF Redis is configured to save RDB snapshots", "refuses"),
        ("ERR shutdown in progress", "refuses"),
        ("ERR redis: client is closed", "refuses"),
        ("ERR invalid JSON: x", "rejected"),
    ] {
        for in_map in [false, true] {
            let server = Quirky::start(move |_, mut session| async move {
                session.welcome().await;
                while session.line().await.is_some() {
                    if in_map {
                        let body =
                            format!("{{\"job-00000001\":{:?}}}", text.trim_start_matches("ERR "));
                        session.send(&format!("${}\r\n{body}\r\n", body.len())).await;
                    } else {
                        session.send(&format!("-{text}\r\n")).await;
                    }
                }
            })
            .await;
            let outcomes = push(server.link(), &["job-00000001"]).await;
            let kind = match outcomes.as_slice() {
                [JobOutcome::Unknown(_)] => "unknown",
                [JobOutcome::ServerRefuses(_)] => "refuses",
                [JobOutcome::Rejected(_)] => "rejected",
                other => panic!("{other:?}"),
            };
            assert_eq!(kind, expected, "{text}, in map: {in_map}");
        }
    }
}

#[tokio::test]
async fn a_push_refused_as_a_whole_is_sent_again_caller_by_caller() {
    // The server refuses every push with the bad job in it. The first reply is held back until the
    // jobs of the other callers wait behind it, so that these jobs leave together.
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            if line.contains("job-first") {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            let reply =
                if line.contains("job-bad") { "-ERR invalid JSON: x\r\n" } else { "$2\r\n{}\r\n" };
            session.send(reply).await;
        }
    })
    .await;
    let config = LinkConfig { max_connections: 1, window_commands: 1, ..server.link() };
    let pusher = Pusher::new(LinkPool::new(config).unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    let (first, second, bad, good) = tokio::join!(
        pusher.push(vec![job("job-first")], deadline),
        pusher.push(vec![job("job-second")], deadline),
        pusher.push(vec![job("job-bad")], deadline),
        pusher.push(vec![job("job-good")], deadline),
    );
    assert_eq!(
        (first, second, good),
        (vec![JobOutcome::Stored], vec![JobOutcome::Stored], vec![JobOutcome::Stored])
    );
    assert!(matches!(bad.as_slice(), [JobOutcome::Rejected(_)]), "{bad:?}");
}

#[tokio::test]
async fn bytes_that_break_the_protocol_end_the_connection_with_a_named_error() {
    for (nonsense, name) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "broken protocol"),
        ("$banana\r\n", "broken protocol"),
        ("$99999999999\r\n", "exceeds the limit"),
        ("$2\r\n{}xx", "broken protocol"),
        ("+OK\r\n+OK\r\n", "unexpected reply"),
    ] {
        let server = Quirky::start(move |_, mut session| async move {
            session.welcome().await;
            session.line().await;
            session.send(nonsense).await;
            session.silence().await;
        })
        .await;
        let connection = Connection::open(&server.link(), None).await.unwrap();
        let answer = connection.ask(&Command::Info).await;
        let cause = match answer {
            Err(lost) => {
                assert!(lost.sent);
                lost.cause
            }
            // The nonsense came after a good reply.
            Ok(Reply::Simple(_)) => {
                testkit::eventually("the connection ends", Duration::from_secs(5), || async {
                    connection.ended()
                })
                .await
            }
            Ok(other) => panic!("{other:?}"),
        };
        assert!(cause.to_string().contains(name), "{nonsense:?}: {cause}");
        assert!(matches!(connection.ask(&Command::Info).await, Err(lost) if !lost.sent));
    }
}

#[tokio::test]
async fn an_oversized_reply_is_refused_before_it_is_read() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.line().await;
        session.send("$5000\r\n").await;
        session.silence().await;
    })
    .await;
    let connection =
        Connection::open(&LinkConfig { reply_limit: 1000, ..server.link() }, None).await.unwrap();
    let lost = connection.ask(&Command::Info).await.unwrap_err();
    assert!(
        lost.cause.to_string().contains("5000 bytes exceeds the limit of 1000"),
        "{}",
        lost.cause
    );
}

#[tokio::test]
async fn a_weak_hash_of_the_password_is_not_sent() {
    for greeting in [
        r#"{"v":2,"s":"55104dc76695721d"}"#,
        r#"{"v":2,"i":1,"s":"55104dc76695721d"}"#,
        r#"{"v":2,"i":4000}"#,
        r#"{"v":2,"i":4000,"s":""}"#,
        r#"{"v":2,"i":4000,"s":"1"}"#,
    ] {
        let (said, mut heard) = tokio::sync::mpsc::channel(1);
        let server = Quirky::start(move |_, mut session| {
            let said = said.clone();
            async move {
                session.send(&format!("+HI {greeting}\r\n")).await;
                // Nothing but the end of the connection.
                let _ = said.send(session.line().await).await;
            }
        })
        .await;
        let config = LinkConfig { password: Some("secret".into()), ..server.link() };
        match Connection::open(&config, None).await {
            Err(error @ LinkError::WeakProof) => {
                assert!(error.to_string().contains("1000 to 1000000 hashes"), "{error}");
            }
            other => panic!("{greeting}: {other:?}"),
        }
        assert_eq!(heard.recv().await, Some(None), "{greeting}");
    }
}

#[tokio::test]
async fn a_password_that_is_not_asked_for_is_not_sent() {
    let (said, mut heard) = tokio::sync::mpsc::channel(1);
    let server = Quirky::start(move |_, mut session| {
        let said = said.clone();
        async move {
            session.send("+HI {\"v\":2}\r\n").await;
            let _ = said.send(session.line().await).await;
            session.send("+OK\r\n").await;
            session.take_everything().await;
        }
    })
    .await;
    let config = LinkConfig { password: Some("secret".into()), ..server.link() };
    assert!(Connection::open(&config, None).await.is_ok());
    let hello = heard.recv().await.unwrap().unwrap();
    assert!(hello.starts_with("HELLO {") && !hello.contains("pwdhash"), "{hello}");
}
