//! Pipelining, shown without a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faktory_link::{Connection, LinkConfig};
use faktory_wire::{Command, Reply};
use futures_util::future::join_all;
use testkit::{Quirky, eventually};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_hundred_commands_are_sent_before_the_first_reply() {
    // The server withholds every reply until it has read 100 separate commands, then answers each
    // with its own id.
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        let mut ids = Vec::new();
        while ids.len() < 100 {
            let Some(line) = session.line().await else { return };
            ids.push(
                line.strip_prefix("ACK {\"jid\":\"")
                    .expect("an ACK")
                    .trim_end_matches("\"}")
                    .to_owned(),
            );
        }
        for id in ids {
            session.send(&format!("+{id}\r\n")).await;
        }
        session.silence().await;
    })
    .await;
    let connection = Connection::open(&server.link(), None).await.unwrap();
    let asks = (0..100).map(|number| {
        let connection = &connection;
        async move { (number, connection.ask(&Command::Ack(format!("job-{number}"))).await) }
    });
    for (number, reply) in join_all(asks).await {
        assert_eq!(reply.unwrap(), Reply::Simple(format!("job-{number}").into()));
    }
}

#[tokio::test]
async fn a_full_window_pushes_back_and_opens_with_the_replies() {
    let read = Arc::new(AtomicUsize::new(0));
    let replies = Arc::new(Semaphore::new(0));
    let (count, allowed) = (Arc::clone(&read), Arc::clone(&replies));
    // The server reads every command, and answers only when the test allows a reply.
    let server = Quirky::start(move |_, mut session| {
        let (count, allowed) = (Arc::clone(&count), Arc::clone(&allowed));
        async move {
            session.welcome().await;
            loop {
                tokio::select! {
                    line = session.line() => match line {
                        Some(_) => count.fetch_add(1, Ordering::SeqCst),
                        None => return,
                    },
                    permit = allowed.acquire() => {
                        permit.unwrap().forget();
                        session.send("+OK\r\n").await;
                        0
                    }
                };
            }
        }
    })
    .await;
    let connection = Arc::new(
        Connection::open(&LinkConfig { window_commands: 4, ..server.link() }, None).await.unwrap(),
    );
    let mut asking = JoinSet::new();
    for number in 0..12 {
        let connection = Arc::clone(&connection);
        asking.spawn(async move {
            connection.ask(&Command::Ack(format!("job-{number}"))).await.unwrap()
        });
    }
    for expected in [4, 6, 8, 10, 12] {
        eventually("the window is full", Duration::from_secs(10), || async {
            (read.load(Ordering::SeqCst) == expected).then_some(())
        })
        .await;
        // Without a window, all twelve commands would have arrived by now.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(read.load(Ordering::SeqCst), expected);
        replies.add_permits(2);
    }
    replies.add_permits(2);
    assert_eq!(asking.join_all().await.len(), 12);
}

#[tokio::test]
async fn callers_that_send_several_lines_together_never_block_each_other() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.take_everything().await;
    })
    .await;
    let config = LinkConfig { window_commands: 4, window_bytes: 1000, ..server.link() };
    let connection = Arc::new(Connection::open(&config, None).await.unwrap());
    // More bytes than the window has, and several callers that each need most of the window.
    let line = || Command::Ack("x".repeat(700)).to_line();
    let mut sending = JoinSet::new();
    for _ in 0..8 {
        let connection = Arc::clone(&connection);
        sending.spawn(async move {
            join_all(connection.submit_together(vec![line(), line(), line()]).await).await
        });
    }
    for replies in tokio::time::timeout(Duration::from_secs(20), sending.join_all()).await.unwrap()
    {
        assert!(replies.into_iter().all(|reply| reply.unwrap() == Reply::OK));
    }
}

#[tokio::test]
async fn the_reply_to_a_dropped_command_goes_to_no_other_caller() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            session.send(&format!("+{}\r\n", line.replace(['{', '}', '"'], ""))).await;
        }
    })
    .await;
    let connection = Connection::open(&server.link(), None).await.unwrap();
    for number in 0..50 {
        let dropped =
            connection.submit(Command::Ack(format!("dropped-{number}")).to_line()).await.unwrap();
        drop(dropped);
        let reply = connection.ask(&Command::Ack(format!("kept-{number}"))).await.unwrap();
        assert_eq!(reply, Reply::Simple(format!("ACK jid:kept-{number}").into()));
    }
}
