//! The bounds on what clients may do. A client that reaches a bound is told so.

use faktory_broker::{Broker, BrokerConfig};
use faktory_wire::Reply;
use testkit::WireClient;

async fn broker(change: impl FnOnce(&mut BrokerConfig)) -> (Broker, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.path().to_owned());
    change(&mut config);
    (Broker::start(config).await.unwrap(), folder)
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_so_after_its_handshake() {
    let (broker, _folder) = broker(|config| config.max_connections = 2).await;
    let _first = WireClient::connect(broker.address()).await;
    let second = WireClient::connect(broker.address()).await;
    let mut third = WireClient::connect(broker.address()).await;
    assert_eq!(third.read().await, Some(Reply::error("too many connections: 3")));
    assert_eq!(third.read().await, None);
    // A connection that ends makes room for the next.
    drop(second);
    let address = broker.address();
    testkit::eventually(
        "the next connection is served",
        std::time::Duration::from_secs(10),
        || async move {
            let mut client = WireClient::connect(address).await;
            client.send("FLUSH").await;
            (client.read().await == Some(Reply::OK)).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_line_over_the_limit_is_answered_and_ends_the_connection() {
    let (broker, _folder) = broker(|config| config.max_line_bytes = 1000).await;
    let mut client = WireClient::connect(broker.address()).await;
    client.send(r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#).await;
    client.send(&"x".repeat(2000)).await;
    assert_eq!(client.read().await, Some(Reply::OK));
    assert_eq!(client.read().await, Some(Reply::error("line longer than 1000 bytes")));
    assert_eq!(client.read().await, None);
}

#[tokio::test]
async fn a_client_without_a_hello_is_disconnected_after_two_seconds() {
    let (broker, _folder) = broker(|_| {}).await;
    let mut client = WireClient::open(broker.address()).await;
    assert!(matches!(client.read().await, Some(Reply::Simple(_))));
    assert_eq!(client.read().await, None);
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_block_other_clients() {
    let (broker, _folder) = broker(|_| {}).await;
    let mut greedy = WireClient::connect(broker.address()).await;
    let flood = "INFO\r\n".repeat(20_000);
    let flooding = tokio::spawn(async move {
        greedy.send_raw(flood.as_bytes()).await;
        greedy
    });
    let mut other = WireClient::connect(broker.address()).await;
    for number in 0..200 {
        let reply = other
            .ask(&format!(r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":[]}}"#))
            .await;
        assert_eq!(reply, Reply::OK);
    }
    flooding.abort();
}
