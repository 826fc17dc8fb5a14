//! Pipelining, shown without a clock.

use faktory_link::Connection;
use faktory_wire::{Command, Reply};
use futures_util::future::join_all;
use testkit::Quirky;

#[tokio::test]
async fn a_hundred_commands_are_on_the_way_before_the_first_reply() {
    // Withholds every reply until it has read 100 separate commands, then answers each with its own id.
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        let mut ids = Vec::new();
        while ids.len() < 100 {
            let Some(line) = session.line().await else { return };
            ids.push(line.strip_prefix("ACK {\"jid\":\"").expect("an ACK").trim_end_matches("\"}").to_owned());
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
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        // Never more than the window of 4 arrives before a reply has left.
        let mut unanswered = 0;
        for _ in 0..20 {
            let read = tokio::time::timeout(std::time::Duration::from_millis(50), session.line()).await;
            match read {
                Ok(Some(_)) => unanswered += 1,
                Ok(None) => return,
                Err(_) => {}
            }
            assert!(unanswered <= 4, "{unanswered} unanswered");
            if unanswered == 4 {
                session.send("+OK\r\n+OK\r\n").await;
                unanswered -= 2;
            }
        }
        session.take_everything().await;
    })
    .await;
    let connection = Connection::open(&faktory_link::LinkConfig { window_commands: 4, ..server.link() }, None).await.unwrap();
    let asks = (0..12).map(|number| {
        let connection = &connection;
        async move { connection.submit(Command::Ack(format!("job-{number}")).to_line()).await }
    });
    let pending = join_all(asks).await;
    assert!(pending.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_reply_that_nobody_waits_for_any_more_goes_to_nobody_else() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            session.send(&format!("+{}\r\n", line.replace(['{', '}', '"'], ""))).await;
        }
    })
    .await;
    let connection = Connection::open(&server.link(), None).await.unwrap();
    for number in 0..50 {
        let dropped = connection.submit(Command::Ack(format!("dropped-{number}")).to_line()).await.unwrap();
        drop(dropped);
        let reply = connection.ask(&Command::Ack(format!("kept-{number}"))).await.unwrap();
        assert_eq!(reply, Reply::Simple(format!("ACK jid:kept-{number}").into()));
    }
}
