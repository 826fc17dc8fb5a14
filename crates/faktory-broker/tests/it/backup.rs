//! Backups of a broker that is at work: each has every job that was answered for before it began,
//! and none that was ended before.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faktory_broker::{Broker, BrokerConfig, GroundStore, Store, Table, backup, restore};
use faktory_wire::Reply;
use testkit::{WireClient, eventually};
use tokio::task::JoinSet;

const BACKUPS: usize = 10;
/// Each job is so large that checkpoints and merges go on under the backups.
const ARGS_BYTES: usize = 2000;

/// What the clients were told.
#[derive(Default)]
struct Told {
    pushed: Mutex<Vec<String>>,
    acked: Mutex<HashSet<String>>,
    over: AtomicBool,
}

/// Pushes jobs into a queue of its own, and ends every second one.
async fn work(address: SocketAddr, client: usize, told: Arc<Told>) {
    let mut wire = WireClient::connect(address).await;
    let (queue, args) = (format!("queue-{client}"), "x".repeat(ARGS_BYTES));
    for round in 0.. {
        if told.over.load(Ordering::SeqCst) {
            return;
        }
        let id = |n: usize| format!("job-{client}-{round:08}-{n}");
        let job = |n| {
            let id = id(n);
            format!(r#"{{"jid":"{id}","jobtype":"t","queue":"{queue}","args":["{args}"]}}"#)
        };
        let jobs: Vec<String> = (0..20).map(job).collect();
        let reply = wire.ask(&format!("PUSHB [{}]", jobs.join(","))).await;
        assert_eq!(reply, Reply::Bulk("{}".into()));
        told.pushed.lock().unwrap().extend((0..20).map(id));
        let mut fetched = Vec::new();
        for _ in 0..10 {
            fetched.push(wire.fetch(&queue).await.unwrap().jid.to_string());
        }
        for id in &fetched {
            wire.send(&format!(r#"ACK {{"jid":"{id}"}}"#)).await;
        }
        for _ in &fetched {
            assert_eq!(wire.read().await, Some(Reply::OK));
        }
        told.acked.lock().unwrap().extend(fetched);
    }
}

/// The ids of all jobs in a store, wherever they are.
fn jobs_of(data_dir: &Path) -> HashSet<String> {
    let store = GroundStore::open(data_dir, Arc::new(|| {})).unwrap();
    let bodies = store.range(Table::Bodies, &[], &[0xFF; 9], usize::MAX).unwrap();
    let id = |body| faktory_wire::Job::parse(body).unwrap().jid.to_string();
    bodies.iter().map(|(_, body)| id(body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_broker_at_work_has_what_was_answered_for_before_it_began() {
    const CLIENTS: usize = 3;
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), data.clone());
    let broker = Broker::start(config).await.unwrap();
    let told = Arc::new(Told::default());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(work(broker.address(), client, Arc::clone(&told)));
    }
    let mut before = Vec::new();
    for number in 0..BACKUPS {
        let least = told.pushed.lock().unwrap().len() + 1000;
        eventually("jobs flow", Duration::from_secs(60), || async {
            (told.pushed.lock().unwrap().len() >= least).then_some(())
        })
        .await;
        before.push((told.pushed.lock().unwrap().clone(), told.acked.lock().unwrap().clone()));
        let (data, copy) = (data.clone(), root.path().join(format!("copies/{number}")));
        let report = tokio::task::spawn_blocking(move || backup(&data, &copy)).await.unwrap();
        let report = report.unwrap();
        assert!(report.is_whole() && report.tables.jobs > 0, "{report}");
    }
    told.over.store(true, Ordering::SeqCst);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    broker.stop().await.unwrap();

    for (number, (pushed, acked)) in before.into_iter().enumerate() {
        let folder = root.path().join(format!("again/{number}"));
        restore(&root.path().join(format!("copies/{number}")), &folder).unwrap();
        let jobs = jobs_of(&folder);
        let back: Vec<_> = acked.iter().filter(|id| jobs.contains(*id)).collect();
        assert!(back.is_empty(), "backup {number} has ended jobs: {back:?}");
        // What was ended meanwhile may be gone.
        let later = told.acked.lock().unwrap();
        let is_lost = |id: &&String| !jobs.contains(*id) && !later.contains(*id);
        let lost: Vec<_> = pushed.iter().filter(is_lost).collect();
        assert!(lost.is_empty(), "backup {number} lacks jobs: {lost:?}");
    }
}
