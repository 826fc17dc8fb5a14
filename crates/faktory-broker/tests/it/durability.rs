//! Answered commands are there after a restart of the broker. The tests of work-factory show the
//! same for a process that is killed.

use faktory_wire::Reply;
use testkit::{WireClient, WorkServer};

#[tokio::test]
async fn jobs_reservations_sets_and_counters_survive_a_restart() {
    let mut server = WorkServer::broker().await;
    let mut client = server.client().await;
    for number in 0..100 {
        client
            .ask(&format!(
                r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":[{number}],"retry":1}}"#
            ))
            .await;
    }
    for _ in 0..10 {
        let job = client.fetch("default").await.unwrap();
        client.ask(&format!(r#"ACK {{"jid":"{}"}}"#, job.jid)).await;
    }
    for _ in 0..5 {
        let job = client.fetch("default").await.unwrap();
        client.ask(&format!(r#"FAIL {{"jid":"{}"}}"#, job.jid)).await;
    }
    client.fetch("default").await.unwrap();
    let before = client.info().await.faktory;
    server.restart().await;
    let mut client = server.client().await;
    assert_eq!(client.info().await.faktory, before);
    assert_eq!(client.fetch("default").await.unwrap().jid, "job-00000016");
}

#[tokio::test]
async fn a_store_of_another_format_is_refused_with_both_versions() {
    use faktory_broker::{Batch, Broker, BrokerConfig, GroundStore, Store, Table};
    let folder = tempfile::tempdir().unwrap();
    {
        let mut store = GroundStore::open(folder.path(), std::sync::Arc::new(|| {})).unwrap();
        let mut batch = Batch::default();
        batch.put(Table::Meta, b"format", 999_u32.to_be_bytes().to_vec());
        store.write(batch).unwrap();
        store.sync().unwrap();
    }
    let result =
        Broker::start(BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.path().to_owned()))
            .await;
    let error = result.err().unwrap().to_string();
    assert!(error.contains("format 999") && error.contains("reads format 1"), "{error}");
}

#[tokio::test]
async fn a_bad_block_is_counted_in_info_when_it_is_met() {
    use faktory_broker::{Broker, BrokerConfig};
    let folder = tempfile::tempdir().unwrap();
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.path().to_owned());
    let broker = Broker::start(config.clone()).await.unwrap();
    let mut client = WireClient::connect(broker.address()).await;
    let args = "x".repeat(100_000);
    for number in 0..3 {
        let job = format!(r#"{{"jid":"job-{number:08}","jobtype":"t","args":["{args}"]}}"#);
        assert_eq!(client.ask(&format!("PUSH {job}")).await, Reply::OK);
    }
    broker.stop().await.unwrap();
    let files = std::fs::read_dir(folder.path().join("store")).unwrap();
    let mut sorted = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "sorted"));
    let (path, None) = (sorted.next().unwrap(), sorted.next()) else { panic!("several files") };
    let mut bytes = std::fs::read(&path).unwrap();
    // The first block has the body of the first job.
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let broker = Broker::start(config).await.unwrap();
    let mut client = WireClient::connect(broker.address()).await;
    assert_eq!(client.fetch("default").await.unwrap().jid, "job-00000001");
    let counts = client.info().await.server.work_factory.unwrap();
    assert_eq!((counts.bad_blocks, counts.files_set_aside), (1, 1));
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn two_brokers_never_share_a_store() {
    use faktory_broker::{Broker, BrokerConfig};
    let folder = tempfile::tempdir().unwrap();
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.path().to_owned());
    let first = Broker::start(config.clone()).await.unwrap();
    assert!(Broker::start(config.clone()).await.is_err());
    first.stop().await.unwrap();
    Broker::start(config).await.unwrap().stop().await.unwrap();
}
