//! The broker as a process whose clocks do what clocks do: the process stands still for longer than
//! its clients may be silent, and the wall clock is set.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faktory_wire::{Reply, Timestamp};
use testkit::{TestProcess, WireClient, eventually};

use crate::binary;

const BEAT: &str = r#"BEAT {"wid":"worker-1"}"#;

/// A client that is a worker, behind its HELLO.
async fn worker(broker: &TestProcess) -> WireClient {
    let mut worker = WireClient::open(broker.address_on("  broker ").await).await;
    worker.read().await.unwrap();
    assert_eq!(worker.ask(r#"HELLO {"v":2,"wid":"worker-1"}"#).await, Reply::OK);
    worker
}

/// Stores a job and fetches it. It is reserved for so many seconds, and 10 more.
async fn reserve(client: &mut WireClient, jid: &str, seconds: u32) {
    let push = format!(r#"PUSH {{"jid":"{jid}","jobtype":"t","args":[],"reserve_for":{seconds}}}"#);
    assert_eq!(client.ask(&push).await, Reply::OK);
    assert!(matches!(client.ask("FETCH default").await, Reply::Bulk(_)));
}

#[tokio::test]
async fn a_broker_that_was_stopped_hears_its_clients_before_it_judges_them() {
    let folder = tempfile::tempdir().unwrap();
    let broker = binary::command(&["broker"], folder.path(), &[]);
    let address = broker.address_on("  broker ").await;
    let mut worker = worker(&broker).await;
    let mut holder = WireClient::connect(address).await;
    reserve(&mut holder, "job-00000001", 60).await;
    let mut greeted = WireClient::open(address).await;
    assert!(greeted.read().await.is_some());
    broker.signal("STOP").await;
    let mut not_accepted = WireClient::open(address).await;
    worker.send(BEAT).await;
    holder.send(r#"ACK {"jid":"job-00000001"}"#).await;
    greeted.send(r#"HELLO {"v":2}"#).await;
    // Longer than a worker may be silent, the reservation lasts, and a handshake may take.
    tokio::time::sleep(Duration::from_secs(75)).await;
    broker.signal("CONT").await;
    assert_eq!(worker.read().await, Some(Reply::OK), "the heartbeat");
    assert_eq!(worker.ask(BEAT).await, Reply::OK, "the worker is known");
    assert_eq!(holder.read().await, Some(Reply::OK), "the ACK");
    assert_eq!(greeted.read().await, Some(Reply::OK), "the handshake");
    assert!(not_accepted.read().await.is_some());
    assert_eq!(not_accepted.ask(r#"HELLO {"v":2}"#).await, Reply::OK);
    let info = holder.info().await.faktory;
    assert_eq!((info.total_processed, info.total_failures), (1, 0));
    assert_eq!(info.sets.retries, 0);
    assert_eq!(holder.ask("FETCH default").await, Reply::Nothing, "no job is offered twice");
}

#[tokio::test]
async fn a_client_that_left_while_the_broker_was_stopped_gets_no_job() {
    let folder = tempfile::tempdir().unwrap();
    let broker = binary::command(&["broker"], folder.path(), &[]);
    let address = broker.address_on("  broker ").await;
    let mut others = WireClient::connect(address).await;
    // Jobs of which the broker must not offer any twice.
    for number in 0..20 {
        let job = format!(r#"{{"jid":"job-{number:08}","jobtype":"t","args":[],"retry":0}}"#);
        assert_eq!(others.ask(&format!("PUSH {job}")).await, Reply::OK);
    }
    let (mut leaving, mut half_open) =
        (WireClient::connect(address).await, WireClient::connect(address).await);
    broker.signal("STOP").await;
    for client in [&mut leaving, &mut half_open] {
        client.send_raw(&b"FETCH default\r\n".repeat(5)).await;
    }
    half_open.send(r#"PUSH {"jid":"job-00000020","jobtype":"t","args":[],"retry":0}"#).await;
    half_open.half_close().await;
    drop(leaving);
    broker.signal("CONT").await;
    // A client that still reads is told that there is no job, and what became of its push.
    for _ in 0..5 {
        assert_eq!(half_open.read().await, Some(Reply::Nothing));
    }
    assert_eq!(half_open.read().await, Some(Reply::OK));
    assert_eq!(half_open.read().await, None);
    eventually("the other connection has ended, too", Duration::from_secs(30), || async {
        let mut client = WireClient::connect(address).await;
        let info = client.info().await;
        (info.faktory.sets.working == 0 && info.server.connections == 2).then_some(())
    })
    .await;
    for number in 0..=20 {
        let job = others.fetch("default").await.unwrap();
        assert_eq!(job.jid, format!("job-{number:08}"), "none is lost, in their order");
    }
}

/// The library that tells a process another wall time, from the package `faketime` of Debian;
/// `None` where it is missing.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .filter_map(Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

/// Sets the wall clock of the process by so many seconds against the real one.
fn set_wall_clock(file: &Path, seconds: i64) {
    // The process reads the file at any time, so that it must always be whole.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Seconds by which the wall clock of the broker is ahead of the real one.
async fn ahead(client: &mut WireClient) -> i64 {
    let now = Timestamp::parse(&client.info().await.now).unwrap();
    let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.micros() / 1_000_000 - real.as_secs().cast_signed()
}

#[tokio::test]
async fn a_wall_clock_that_is_set_ends_no_reservation_and_no_worker_and_hangs_no_fetch() {
    let Some(library) = faketime() else {
        assert!(std::env::var_os("CI").is_none(), "faketime is missing");
        return println!("SKIPPED: faketime is missing (libfaketimeMT.so.1 below /usr/lib)");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wall-clock");
    set_wall_clock(&file, 0);
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let broker = binary::command(&["broker"], folder.path(), &variables);
    let mut worker = worker(&broker).await;
    let mut control = WireClient::connect(broker.address_on("  broker ").await).await;
    reserve(&mut control, "job-00000001", 600).await;
    let at = Timestamp::now().plus(Duration::from_secs(1800));
    let later = format!(r#"PUSH {{"jid":"job-00000002","jobtype":"t","args":[],"at":"{at}"}}"#);
    assert_eq!(control.ask(&later).await, Reply::OK);
    assert_eq!(control.info().await.faktory.sets.scheduled, 1);

    set_wall_clock(&file, 3600);
    assert!((3500..3700).contains(&ahead(&mut control).await), "the library works");
    eventually("the scheduled job is due", Duration::from_secs(30), || async {
        let mut client = WireClient::connect(broker.address_on("  broker ").await).await;
        (client.info().await.faktory.sets.scheduled == 0).then_some(())
    })
    .await;
    assert!(matches!(control.ask("FETCH default").await, Reply::Bulk(_)));
    for seconds in [3600, -3600, 0] {
        set_wall_clock(&file, seconds);
        assert!((ahead(&mut control).await - seconds).abs() < 100);
        assert_eq!(control.ask("FETCH default").await, Reply::Nothing);
        assert_eq!(worker.ask(BEAT).await, Reply::OK);
        let info = control.info().await.faktory;
        assert_eq!((info.sets.working, info.sets.retries, info.total_failures), (2, 0, 0));
    }
    for jid in ["job-00000001", "job-00000002"] {
        assert_eq!(control.ask(&format!(r#"ACK {{"jid":"{jid}"}}"#)).await, Reply::OK);
    }
    assert_eq!(control.info().await.faktory.total_processed, 2);
}
