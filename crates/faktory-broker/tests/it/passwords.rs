//! Wrong passwords: refused and counted; the right password is served whatever others try.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faktory_broker::{Broker, BrokerConfig, Observer};
use faktory_wire::{Reply, password_hash};
use testkit::WireClient;
use tokio::time::Instant;

#[derive(Default)]
struct Counts(AtomicUsize);

impl Observer for Counts {
    fn wrong_password(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn broker() -> (Broker, Arc<Counts>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.path().to_owned());
    let counts = Arc::new(Counts::default());
    config.password = Some("secret".into());
    config.observer = Some(counts.clone());
    // A crowded machine may be slow to hash.
    config.handshake_timeout = Duration::from_secs(30);
    (Broker::start(config).await.unwrap(), counts, folder)
}

/// The reply to a HELLO with this hash.
async fn reply_to(broker: &Broker, hash: &str) -> Reply {
    let mut client = WireClient::open(broker.address()).await;
    client.read().await.unwrap();
    client.ask(&format!(r#"HELLO {{"v":2,"pwdhash":"{hash}"}}"#)).await
}

/// The reply to a HELLO with the hash of this password.
async fn reply_to_password(broker: &Broker, password: &str) -> Reply {
    let mut client = WireClient::open(broker.address()).await;
    client.read().await.unwrap();
    let greeting = client.greeting.clone().unwrap();
    let hash = password_hash(password, &greeting.salt.unwrap(), greeting.iterations.unwrap());
    client.ask(&format!(r#"HELLO {{"v":2,"pwdhash":"{hash}"}}"#)).await
}

#[tokio::test]
async fn wrong_passwords_are_refused_counted_and_after_some_refused_late() {
    let (broker, counts, _folder) = broker().await;
    let wrong = Reply::error("Invalid password");
    for hash in ["", "secret", &"0".repeat(64)] {
        assert_eq!(reply_to(&broker, hash).await, wrong, "{hash}");
    }
    assert_eq!(reply_to_password(&broker, "other").await, wrong);
    assert_eq!(counts.0.load(Ordering::SeqCst), 4);
    // Four more refusals wait 200, 400, 800 and 1,000 ms.
    let begin = Instant::now();
    for _ in 0..4 {
        assert_eq!(reply_to(&broker, "").await, wrong);
    }
    assert!(begin.elapsed() >= Duration::from_millis(2400), "{:?}", begin.elapsed());
    assert_eq!(counts.0.load(Ordering::SeqCst), 8);
    assert_eq!(reply_to_password(&broker, "secret").await, Reply::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_counted_in_info_and_clients_of_faktory_read_it_as_before() {
    let (broker, _counts, _folder) = broker().await;
    for _ in 0..2 {
        assert_eq!(reply_to_password(&broker, "other").await, Reply::error("Invalid password"));
    }
    let mut client = WireClient::log_in(broker.address(), "secret", None).await.unwrap();
    let Reply::Bulk(info) = client.ask("INFO").await else { panic!() };
    let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
    let expected = serde_json::json!({
        "work_factory_broker_wrong_passwords_total": 2,
        "work_factory_broker_connections_turned_away_total": { "made_room": 0, "too_many": 0 },
        "work_factory_broker_commands_refused_total": { "arriving": 0, "unanswered": 0 },
        "work_factory_broker_pushes_refused_total": 0,
        "work_factory_broker_bad_blocks": 0,
        "work_factory_broker_files_set_aside": 0,
        "work_factory_broker_remembered_ids": 0,
        "work_factory_broker_dedup_window_seconds": 86_400,
        "work_factory_broker_duplicates_total": 0,
    });
    let mut told = info["server"]["work_factory"].clone();
    let free = told.as_object_mut().unwrap().remove("work_factory_broker_disk_free_bytes");
    assert!(free.and_then(|free| free.as_u64()).is_some_and(|free| free > 0), "{info}");
    assert_eq!(told, expected, "{info}");
    assert_eq!(broker.turned_away().wrong_passwords(), 2);

    let url = format!("tcp://:secret@{}", broker.address());
    let mut client = faktory::Client::connect_to(&url).await.unwrap();
    let state = client.current_info().await.unwrap();
    assert_eq!(state.server.version.to_string(), "1.10.0");
    assert_eq!(state.data.total_enqueued, 0);
}
