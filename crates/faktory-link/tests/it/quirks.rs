//! What Faktory and networks do where our broker is better behaved: no hang, no wrong answer,
//! nothing lost in silence.

use std::time::Duration;

use faktory_link::{
    Connection, EncodedJob, JobOutcome, LinkConfig, LinkError, LinkPool, NotSent, Pusher,
};
use faktory_wire::{Command, Reply};
use testkit::Quirky;
use tokio::time::Instant;

fn job(jid: &str) -> EncodedJob {
    EncodedJob {
        jid: jid.into(),
        json: format!(r#"{{"jid":"{jid}","jobtype":"t","args":[]}}"#).into_bytes(),
    }
}

async fn push(config: LinkConfig, jids: &[&str]) -> Vec<JobOutcome> {
    let pusher = Pusher::new(LinkPool::new(config).unwrap());
    pusher
        .push(jids.iter().map(|jid| job(jid)).collect(), Instant::now() + Duration::from_secs(20))
        .await
}

#[tokio::test]
async fn replies_in_three_writes_are_one_reply() {
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
        // The server may have closed before the command was written, or behind it; then nobody
        // knows.
        [JobOutcome::Unknown(_) | JobOutcome::NotSent(NotSent::Unreachable, _)] => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn ambiguous_errors_are_unknown_and_clear_ones_are_not() {
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
    // Refuses every push that has the bad job in it. The first connection's first reply is held
    // until both callers' jobs wait behind it, so that they leave together.
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
async fn a_connection_cut_after_sending_is_unknown_and_not_sent_again() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.line().await;
        session.reset();
    })
    .await;
    let outcomes = push(server.link(), &["job-00000001"]).await;
    assert!(matches!(outcomes.as_slice(), [JobOutcome::Unknown(_)]), "{outcomes:?}");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn silence_after_sending_is_unknown_after_the_read_timeout() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.silence().await;
    })
    .await;
    let outcomes = push(
        LinkConfig { read_timeout: Duration::from_millis(300), ..server.link() },
        &["job-00000001"],
    )
    .await;
    match outcomes.as_slice() {
        [JobOutcome::Unknown(detail)] => assert!(detail.contains("reply timed out"), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn silence_instead_of_a_greeting_is_told_in_time_and_nothing_was_sent() {
    let server = Quirky::start(|_, mut session| async move { session.silence().await }).await;
    let config = LinkConfig { connect_timeout: Duration::from_millis(300), ..server.link() };
    match Connection::open(&config, None).await {
        Err(LinkError::Silent { after }) => assert_eq!(after, config.connect_timeout),
        other => panic!("{other:?}"),
    }
    let outcomes = push(config, &["job-00000001"]).await;
    assert!(
        matches!(outcomes.as_slice(), [JobOutcome::NotSent(NotSent::Unreachable, _)]),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_unreachable_at_once() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcomes = push(LinkConfig::new("127.0.0.1", address.port()), &["job-00000001"]).await;
    assert!(
        matches!(outcomes.as_slice(), [JobOutcome::NotSent(NotSent::Unreachable, _)]),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection_by_name() {
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
            // The nonsense came behind a good reply.
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
async fn a_dead_connection_in_the_pool_is_replaced() {
    // The first connection ends after one push; the pool must notice and go on.
    let server = Quirky::start(|number, mut session| async move {
        session.welcome().await;
        if number == 0 {
            session.line().await;
            session.send("$2\r\n{}\r\n").await;
        } else {
            session.take_everything().await;
        }
    })
    .await;
    let pusher = Pusher::new(LinkPool::new(server.link()).unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    assert_eq!(pusher.push(vec![job("job-00000001")], deadline).await, [JobOutcome::Stored]);
    let second = pusher.push(vec![job("job-00000002")], deadline).await;
    // Either the end was noticed before (a new connection), or the command was on its way into it.
    assert!(
        matches!(second.as_slice(), [JobOutcome::Stored | JobOutcome::Unknown(_)]),
        "{second:?}"
    );
    assert_eq!(pusher.push(vec![job("job-00000003")], deadline).await, [JobOutcome::Stored]);
}

#[tokio::test]
async fn a_server_that_greets_no_second_connection_holds_up_nothing_that_the_first_can_carry() {
    let (told, mut read) = tokio::sync::mpsc::unbounded_channel();
    let answer = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let allowed = std::sync::Arc::clone(&answer);
    let server = Quirky::start(move |number, mut session| {
        let (told, allowed) = (told.clone(), std::sync::Arc::clone(&allowed));
        async move {
            if number > 0 {
                return session.silence().await;
            }
            session.welcome().await;
            while let Some(line) = session.line().await {
                told.send(line).unwrap();
                allowed.acquire().await.unwrap().forget();
                session.send("$2\r\n{}\r\n").await;
            }
        }
    })
    .await;
    let config = LinkConfig {
        window_commands: 1,
        connect_timeout: Duration::from_secs(600),
        read_timeout: Duration::from_secs(600),
        ..server.link()
    };
    let pusher = Pusher::new(LinkPool::new(config).unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    let push = |jid| pusher.push(vec![job(jid)], deadline);
    let later = async {
        // The first command fills the window; the second holds the connection while it waits for
        // room.
        read.recv().await.unwrap();
        let second = push("job-00000002");
        let third = async {
            // By then the second holds the connection; were it slower, both would go together, and
            // no second one be tried.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let answers = async {
                testkit::eventually("a second one is tried", Duration::from_secs(20), || async {
                    (server.accepted() > 1).then_some(())
                })
                .await;
                answer.add_permits(3);
            };
            tokio::join!(push("job-00000003"), answers).0
        };
        tokio::join!(second, third)
    };
    let (first, (second, third)) = tokio::join!(push("job-00000001"), later);
    assert_eq!([first, second, third].concat(), vec![JobOutcome::Stored; 3]);
}

#[tokio::test]
async fn a_caller_whose_time_runs_out_before_sending_knows_that_nothing_was_sent() {
    let server = Quirky::start(|_, mut session| async move { session.silence().await }).await;
    let pusher = Pusher::new(
        LinkPool::new(LinkConfig { connect_timeout: Duration::from_secs(30), ..server.link() })
            .unwrap(),
    );
    let outcomes =
        pusher.push(vec![job("job-00000001")], Instant::now() + Duration::from_millis(200)).await;
    assert!(
        matches!(outcomes.as_slice(), [JobOutcome::NotSent(NotSent::TimedOut, _)]),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn an_abandoned_pusher_answers_at_once() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.silence().await;
    })
    .await;
    let pusher = Pusher::new(
        LinkPool::new(LinkConfig { read_timeout: Duration::from_secs(60), ..server.link() })
            .unwrap(),
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    let abandon = async {
        testkit::eventually("the push is on its way", Duration::from_secs(5), || async {
            (server.accepted() > 0).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        pusher.abandon();
    };
    let (outcomes, ()) = tokio::join!(pusher.push(vec![job("job-00000001")], deadline), abandon);
    assert!(matches!(outcomes.as_slice(), [JobOutcome::Unknown(_)]), "{outcomes:?}");
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
async fn connections_that_are_there_stay_free_while_more_are_made() {
    // Only the first connection is greeted.
    let server = Quirky::start(|number, mut session| async move {
        if number > 0 {
            return session.silence().await;
        }
        session.welcome().await;
        while session.line().await.is_some() {
            session.send("$2\r\n{}\r\n").await;
        }
    })
    .await;
    let pool = LinkPool::new(server.link()).unwrap();
    assert_eq!(pool.warm_up(1).await, 1);
    let mut warming = std::pin::pin!(pool.warm_up(4));
    let get = async {
        // The others are under way, and wait for their greeting.
        while server.accepted() < 4 {
            tokio::task::yield_now().await;
        }
        pool.get().await.map(drop)
    };
    tokio::select! {
        biased;
        made = &mut warming => panic!("nobody greeted, and yet {made} are there"),
        got = get => got.unwrap(),
    }
    assert_eq!(warming.await, 1, "no more were to be had");
}
