//! The answer to a push whose time is over: it comes soon, whatever the server and the other
//! connections do. The limits here are wide; what is waited for in vain would take far longer.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, EncodedJob, JobOutcome, LinkConfig, LinkPool, Pusher, ReplyBudget};
use testkit::Quirky;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::push::job;

/// Far beyond the second that follows a push's deadline.
const SOON: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(60);

fn is_known(outcome: &JobOutcome) -> bool {
    matches!(outcome, JobOutcome::Unknown(_) | JobOutcome::NotSent(_, _))
}

#[tokio::test]
async fn a_push_is_answered_though_its_connection_waits_for_memory_for_a_reply() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let server = Quirky::start(move |_, mut session| {
        let said = said.clone();
        async move {
            session.welcome().await;
            session.line().await;
            // The first takes all of the memory, and none of the replies ever ends.
            session.send("$8388608\r\nx").await;
            let _ = said.send(());
            session.silence().await;
        }
    })
    .await;
    let link =
        LinkConfig { read_timeout: LONG, max_connections: 3, window_commands: 1, ..server.link() };
    let pool = LinkPool::new(link).unwrap();
    assert_eq!(pool.warm_up(3).await, 3);
    let pusher = Pusher::new(pool);
    let push = async |number: usize| {
        let deadline = Instant::now() + Duration::from_millis(500);
        pusher.push(vec![job(&format!("job-{number:08}"))], deadline).await
    };
    for number in 0..3 {
        let outcomes = timeout(SOON, push(number)).await.expect("an answer");
        assert!(matches!(outcomes.as_slice(), [JobOutcome::Unknown(_)]), "{outcomes:?}");
        heard.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_probe_fails_though_its_connection_waits_for_memory_for_a_reply() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.line().await;
        session.send("$8388608\r\nx").await;
        session.silence().await;
    })
    .await;
    let budget = Some(Arc::new(ReplyBudget::new(8 << 20)));
    let link = LinkConfig { read_timeout: LONG, reply_budget: budget.clone(), ..server.link() };
    let holder = Connection::open(&link, None).await.unwrap();
    let _held = holder.submit(b"INFO\r\n".to_vec()).await.unwrap();
    testkit::eventually("the memory is taken", SOON, || async {
        (budget.as_ref()?.in_use() > 0).then_some(())
    })
    .await;
    let pool = LinkPool::new(link).unwrap();
    assert_eq!(pool.warm_up(4).await, 4);
    // Five seconds for the reply, and the look.
    let probed = timeout(2 * SOON, pool.probe()).await.expect("an answer");
    assert!(matches!(probed, Some(Err(_))), "{probed:?}");
}

#[tokio::test]
async fn a_batch_to_a_server_that_reads_nothing_is_answered_soon_after_its_deadline() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        std::future::pending().await
    })
    .await;
    let link = LinkConfig {
        read_timeout: LONG,
        write_timeout: LONG,
        max_connections: 20,
        ..server.link()
    };
    let pusher = Pusher::new(LinkPool::new(link).unwrap());
    let large = |number| {
        let jid = format!("job-{number:08}");
        let args = "x".repeat(4 << 20);
        let json = format!("{{\"jid\":\"{jid}\",\"jobtype\":\"t\",\"args\":[\"{args}\"]}}");
        EncodedJob::new(jid, json)
    };
    let jobs = || (0..15).map(large).collect::<Vec<_>>();
    let deadline = Instant::now() + Duration::from_millis(500);
    let outcomes = timeout(SOON, pusher.push(jobs(), deadline)).await.expect("an answer");
    assert_eq!(outcomes.len(), 15);
    assert!(outcomes.iter().all(is_known), "{outcomes:?}");
}
