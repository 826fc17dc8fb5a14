//! Large replies on many connections stay within the memory that they share.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, LinkConfig, LinkError, LinkPool, Phase, ReplyBudget};
use faktory_wire::{Command, Reply};
use testkit::{Quirky, eventually};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

const LARGE: usize = 1 << 20;
const BUDGET: usize = 3 * LARGE + LARGE / 2;
const CONNECTIONS: usize = 20;

/// A server whose every reply is large; the first `silent` connections get only its beginning.
async fn server(silent: usize) -> Quirky {
    Quirky::start(move |number, mut session| async move {
        session.welcome().await;
        while session.line().await.is_some() {
            session.send(&format!("${LARGE}\r\n")).await;
            if number < silent {
                session.silence().await;
            }
            session.send(&format!("{}\r\n", "x".repeat(LARGE))).await;
        }
    })
    .await
}

fn config(server: &Quirky, budget: &Arc<ReplyBudget>) -> LinkConfig {
    LinkConfig { reply_budget: Some(Arc::clone(budget)), ..server.link() }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_replies_on_many_connections_are_read_in_turn_within_the_budget() {
    let (server, budget) = (server(0).await, Arc::new(ReplyBudget::new(BUDGET)));
    let (replies, mut come) = mpsc::channel::<Reply>(CONNECTIONS);
    let mut asking = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (config, replies) = (config(&server, &budget), replies.clone());
        asking.spawn(async move {
            let connection = Connection::open(&config, None).await.unwrap();
            let reply = connection.ask(&Command::Info).await.unwrap();
            replies.send(reply).await.unwrap();
            connection
        });
    }
    drop(replies);
    let mut held: Vec<Reply> = Vec::new();
    let mut count = 0;
    while let Some(reply) = come.recv().await {
        let Reply::Bulk(body) = &reply else { panic!("{reply:?}") };
        assert_eq!(body.len(), LARGE);
        held.push(reply);
        count += 1;
        assert!(budget.in_use() >= held.len() * LARGE, "a reply counts while somebody holds it");
        assert!(held.len() <= BUDGET / LARGE);
        if held.len() == BUDGET / LARGE {
            held.remove(0);
        }
    }
    assert_eq!(count, CONNECTIONS);
    held.clear();
    // The connections still live, and hold nothing of the replies that they have read.
    let connections: Vec<Connection> = asking.join_all().await;
    assert_eq!((connections.len(), budget.in_use()), (CONNECTIONS, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_never_end_give_their_memory_back_with_their_connection() {
    let silent = BUDGET / LARGE;
    let (server, budget) = (server(silent).await, Arc::new(ReplyBudget::new(BUDGET)));
    let mut asking = JoinSet::new();
    for number in 0..=silent {
        let config =
            LinkConfig { read_timeout: Duration::from_secs(3), ..config(&server, &budget) };
        let connection = Connection::open(&config, None).await.unwrap();
        asking.spawn(async move { (number, connection.ask(&Command::Info).await.is_ok()) });
    }
    let mut ended = asking.join_all().await;
    ended.sort_unstable();
    let expected: Vec<_> = (0..=silent).map(|number| (number, number == silent)).collect();
    assert_eq!(ended, expected);
    assert_eq!(budget.in_use(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_while_it_waits_for_memory_ends() {
    let waits = Arc::new(Notify::new());
    let told = Arc::clone(&waits);
    let server = Quirky::start(move |number, mut session| {
        let told = Arc::clone(&told);
        async move {
            session.welcome().await;
            session.line().await;
            session.send(&format!("${LARGE}\r\n")).await;
            if number == 0 {
                session.silence().await;
            }
            told.notified().await;
            session.reset();
        }
    })
    .await;
    let budget = Arc::new(ReplyBudget::new(LARGE));
    let open = async |read_timeout| {
        let config = LinkConfig { read_timeout, ..config(&server, &budget) };
        Connection::open(&config, None).await.unwrap()
    };
    let holder = open(Duration::from_secs(3600)).await;
    let _held = holder.submit(Command::Info.to_line()).await.unwrap();
    let is = |what: &'static str, is: fn(&ReplyBudget) -> bool| {
        let budget = &budget;
        eventually(what, Duration::from_secs(20), move || async move { is(budget).then_some(()) })
    };
    is("the memory is taken", |budget| budget.in_use() == LARGE).await;
    let waiter = open(Duration::from_secs(8)).await;
    let pending = waiter.submit(Command::Info.to_line()).await.unwrap();
    is("the other one waits", |budget| budget.awaited() == 1).await;
    waits.notify_one();
    let lost = tokio::time::timeout(Duration::from_secs(60), pending).await.unwrap().unwrap_err();
    assert!(matches!(*lost.cause, LinkError::Io { phase: Phase::Reply, .. }), "{lost}");
    assert_eq!((budget.in_use(), budget.awaited()), (LARGE, 0), "nobody gave memory back");
}

#[tokio::test]
async fn a_pool_takes_no_reply_that_no_push_has() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        session.line().await;
        session.send(&format!("${}\r\n", 9 << 20)).await;
        session.silence().await;
    })
    .await;
    let pool = LinkPool::new(server.link()).unwrap();
    let lost = pool.get().await.unwrap().ask(&Command::Info).await.unwrap_err();
    assert!(lost.cause.to_string().contains("exceeds the limit of 8388608"), "{}", lost.cause);
}
