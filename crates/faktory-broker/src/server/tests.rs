//! A broker whose process stands still. Its connections run on the runtime of the test, so that
//! they stand still while the test blocks; the core goes by a clock of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faktory_wire::{Info, Reply, Timestamp};
use testkit::{Authority, Strangers, WireClient};

use super::*;
use crate::machine::Now;

const SHORT: &str = r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[],"reserve_for":60}"#;

/// A broker, the time of its clock, and a client that asks on a connection of its own.
struct World {
    broker: Broker,
    _folder: tempfile::TempDir,
    seconds: Arc<AtomicU64>,
    looks: Arc<AtomicU64>,
    control: WireClient,
}

impl World {
    async fn new() -> Self {
        Self::with_tls(None).await
    }

    async fn with_tls(authority: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.path().to_owned());
        config.tls = authority.map(|authority| authority.server_tls("broker").config(&[]));
        let (seconds, looks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (time, looked) = (Arc::clone(&seconds), Arc::clone(&looks));
        let clock = Clock::new(move || {
            looked.fetch_add(1, Ordering::SeqCst);
            let monotonic = Duration::from_secs(time.load(Ordering::SeqCst));
            Now { wall: Timestamp::default().plus(monotonic), monotonic }
        });
        let broker = Broker::start_at(config, clock).await.unwrap();
        let control = match authority {
            Some(authority) => WireClient::connect_tls(broker.address(), authority).await,
            None => WireClient::connect(broker.address()).await,
        };
        Self { broker, _folder: folder, seconds, looks, control }
    }

    async fn worker(&self, wid: &str) -> WireClient {
        let mut client = WireClient::open(self.broker.address()).await;
        client.read().await.unwrap();
        assert_eq!(client.ask(&format!(r#"HELLO {{"v":2,"wid":"{wid}"}}"#)).await, Reply::OK);
        client
    }

    /// Lets time pass, second by second, while everything runs.
    async fn pass_to(&mut self, seconds: u64) {
        for second in self.seconds.load(Ordering::SeqCst)..=seconds {
            self.seconds.store(second, Ordering::SeqCst);
            self.info().await;
        }
    }

    /// Lets time pass while the connections stand still, and waits until the core has seen the
    /// time and acted on it.
    fn stand_still_to(&self, seconds: u64) {
        self.seconds.store(seconds, Ordering::SeqCst);
        let before = self.looks.load(Ordering::SeqCst);
        while self.looks.load(Ordering::SeqCst) < before + 6 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    async fn info(&mut self) -> Info {
        match self.control.ask("INFO").await {
            Reply::Bulk(body) => serde_json::from_slice(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_heartbeat_in_the_socket_counts_although_its_time_is_over() {
    let mut world = World::new().await;
    let mut worker = world.worker("worker-1").await;
    world.pass_to(74).await;
    worker.send(r#"BEAT {"wid":"worker-1"}"#).await;
    world.stand_still_to(78);
    assert_eq!(worker.read().await, Some(Reply::OK));
    assert_eq!(worker.ask(r#"BEAT {"wid":"worker-1"}"#).await, Reply::OK);

    // A worker that sends nothing loses its connection all the same, at the next look for such.
    world.pass_to(170).await;
    assert_eq!(worker.read().await, None);
}

#[tokio::test]
async fn an_ack_in_a_socket_counts_although_the_reservation_is_over() {
    let mut world = World::new().await;
    let mut worker = WireClient::connect(world.broker.address()).await;
    let mut other = WireClient::connect(world.broker.address()).await;
    assert_eq!(worker.ask(SHORT).await, Reply::OK);
    assert!(matches!(worker.ask("FETCH default").await, Reply::Bulk(_)));
    world.pass_to(69).await;
    other.send(r#"ACK {"jid":"job-00000001"}"#).await;
    world.stand_still_to(73);
    assert_eq!(other.read().await, Some(Reply::OK));
    world.pass_to(80).await;
    let info = world.info().await.faktory;
    assert_eq!((info.total_processed, info.total_failures, info.sets.retries), (1, 0, 0));
}

#[tokio::test]
async fn an_ack_in_a_socket_below_tls_counts_too() {
    let authority = Authority::new();
    let mut world = World::with_tls(Some(&authority)).await;
    let mut worker = WireClient::connect_tls(world.broker.address(), &authority).await;
    assert_eq!(worker.ask(SHORT).await, Reply::OK);
    assert!(matches!(worker.ask("FETCH default").await, Reply::Bulk(_)));
    world.pass_to(69).await;
    worker.send(r#"ACK {"jid":"job-00000001"}"#).await;
    world.stand_still_to(73);
    assert_eq!(worker.read().await, Some(Reply::OK));
    world.pass_to(80).await;
    let info = world.info().await.faktory;
    assert_eq!((info.total_processed, info.total_failures, info.sets.retries), (1, 0, 0));
}

#[tokio::test]
async fn a_heartbeat_behind_a_line_that_fills_the_socket_counts() {
    let mut world = World::new().await;
    let mut worker = world.worker("worker-1").await;
    world.pass_to(74).await;
    // The end of the line does not fit into the socket: its sender waits for room.
    let filler = "x".repeat(20 << 20);
    let line = format!(
        "PUSH {{\"jid\":\"job-00000001\",\"jobtype\":\"t\",\"args\":[\"{filler}\"]}}\r\n\
         BEAT {{\"wid\":\"worker-1\"}}\r\n"
    );
    let sending = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async {
                worker.send_raw(line.as_bytes()).await;
                worker
            },
        )
    });
    world.stand_still_to(78);
    let replies = tokio::task::spawn_blocking(move || sending.join().unwrap());
    let mut worker = replies.await.unwrap();
    assert_eq!(worker.read().await, Some(Reply::OK));
    assert_eq!(worker.read().await, Some(Reply::OK));
}

#[tokio::test]
async fn a_client_that_waits_to_be_accepted_is_heard_before_a_reservation_ends() {
    let mut world = World::new().await;
    let mut worker = WireClient::connect(world.broker.address()).await;
    assert_eq!(worker.ask(SHORT).await, Reply::OK);
    assert!(matches!(worker.ask("FETCH default").await, Reply::Bulk(_)));
    world.pass_to(69).await;
    drop(worker);
    let mut again = WireClient::open(world.broker.address()).await;
    world.stand_still_to(73);
    again.read().await.unwrap();
    assert_eq!(again.ask(r#"HELLO {"v":2}"#).await, Reply::OK);
    assert_eq!(again.ask(r#"ACK {"jid":"job-00000001"}"#).await, Reply::OK);
    world.pass_to(80).await;
    let info = world.info().await.faktory;
    assert_eq!((info.total_processed, info.total_failures, info.sets.retries), (1, 0, 0));
}

#[tokio::test]
async fn reservations_that_are_over_together_end_after_one_round() {
    let mut world = World::new().await;
    for job in 0..450 {
        let push = SHORT.replace("job-00000001", &format!("job-{job:08}"));
        assert_eq!(world.control.ask(&push).await, Reply::OK);
        assert!(matches!(world.control.ask("FETCH default").await, Reply::Bulk(_)));
    }
    world.pass_to(71).await;
    for _ in 0..1000 {
        let sets = world.info().await.faktory.sets;
        if (sets.working, sets.retries) == (0, 450) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the clock stands still, and so would a second round");
}

#[tokio::test]
async fn the_time_in_which_the_broker_stood_still_is_not_held_against_its_clients() {
    let mut world = World::new().await;
    // This client has one connection, and can send nothing while its FETCH is not answered.
    let mut worker = world.worker("worker-1").await;
    assert_eq!(worker.ask(SHORT).await, Reply::OK);
    assert!(matches!(worker.ask("FETCH default").await, Reply::Bulk(_)));
    world.pass_to(20).await;
    worker.send("FETCH default").await;
    world.info().await;
    world.stand_still_to(3600);
    world.pass_to(3602).await;
    assert_eq!(worker.read().await, Some(Reply::Nothing));
    assert_eq!(worker.ask(r#"BEAT {"wid":"worker-1"}"#).await, Reply::OK);
    assert_eq!(worker.ask(r#"ACK {"jid":"job-00000001"}"#).await, Reply::OK);
    let info = world.info().await.faktory;
    assert_eq!((info.total_processed, info.total_failures), (1, 0));
}

#[tokio::test]
async fn strangers_who_connect_all_the_time_hold_up_no_judgement() {
    let mut world = World::new().await;
    assert_eq!(world.control.ask(SHORT).await, Reply::OK);
    assert!(matches!(world.control.ask("FETCH default").await, Reply::Bulk(_)));
    world.pass_to(60).await;
    // More silent connections than end in the time for a handshake, and each comes at once.
    let _strangers = Strangers::start(world.broker.address(), 2000, 1, Duration::from_millis(2000));
    world.pass_to(71).await;
    for _ in 0..1000 {
        if world.info().await.faktory.sets.retries == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the clock stands still, so that no round ends for having lasted too long");
}

#[tokio::test]
async fn a_broker_that_accepts_no_more_has_failed() {
    let mut world = World::new().await;
    world.broker.accepting.abort();
    let failure = world.broker.failed().await.to_string();
    assert!(failure.contains("accepts connections"), "{failure}");
    world.broker.stop().await.unwrap();
}
