//! Servers that are silent, unreachable or lose connections: every caller gets a right answer in
//! time, and no job is lost in silence.

use std::time::Duration;

use faktory_link::{Connection, JobOutcome, LinkConfig, LinkError, LinkPool, NotSent, Pusher};
use testkit::Quirky;
use tokio::time::Instant;

use crate::push::{job, push};

#[tokio::test]
async fn jobs_on_a_connection_cut_after_sending_are_unknown_and_not_sent_again() {
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
async fn without_a_reply_the_outcome_is_unknown_after_the_read_timeout() {
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
async fn without_a_greeting_the_attempt_ends_in_time_and_nothing_is_sent() {
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
async fn a_port_without_a_server_is_unreachable_at_once() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcomes = push(LinkConfig::new("127.0.0.1", address.port()), &["job-00000001"]).await;
    assert!(
        matches!(outcomes.as_slice(), [JobOutcome::NotSent(NotSent::Unreachable, _)]),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn a_dead_connection_in_the_pool_is_replaced() {
    // The first connection ends after one push; the pool must notice that and make another.
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
    // Either the end was noticed in time (a new connection), or the command was sent into it.
    assert!(
        matches!(second.as_slice(), [JobOutcome::Stored | JobOutcome::Unknown(_)]),
        "{second:?}"
    );
    assert_eq!(pusher.push(vec![job("job-00000003")], deadline).await, [JobOutcome::Stored]);
}

#[tokio::test]
async fn a_server_that_greets_no_second_connection_does_not_delay_jobs_on_the_first() {
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
        // the window.
        read.recv().await.unwrap();
        let second = push("job-00000002");
        let third = async {
            // By then the second command holds the connection. Were the second slower, both would
            // leave together, and no second connection would be tried.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let answers = async {
                testkit::eventually(
                    "a second connection is tried",
                    Duration::from_secs(20),
                    || async { (server.accepted() > 1).then_some(()) },
                )
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
async fn jobs_whose_deadline_passes_before_sending_are_not_sent() {
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
        testkit::eventually("the push is sent", Duration::from_secs(5), || async {
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
async fn existing_connections_stay_free_while_more_are_made() {
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
        // The other connections are being made, and wait for their greeting.
        while server.accepted() < 4 {
            tokio::task::yield_now().await;
        }
        pool.get().await.map(drop)
    };
    tokio::select! {
        biased;
        made = &mut warming => panic!("{made} connections without a greeting"),
        got = get => got.unwrap(),
    }
    assert_eq!(warming.await, 1, "no further connection was greeted");
}
