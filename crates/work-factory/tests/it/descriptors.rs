//! The limit of open files: however many clients connect and say nothing, the store and the link
//! have their descriptors, and the process goes on.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use testkit::{Strangers, TestProcess, eventually, http};

const SILENT: usize = 1100;

/// Starts everything under limits that a shell sets.
fn start_limited(limits: &str, folder: &Path, more: &[(&str, &str)]) -> TestProcess {
    let script = format!("{limits}; exec {}", env!("CARGO_BIN_EXE_work-factory"));
    let mut variables = vec![
        ("BROKER_DATA_DIR", folder.to_str().unwrap()),
        ("BROKER_BIND_ADDR", "127.0.0.1:0"),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("WORKER_BIND_ADDR", "127.0.0.1:0"),
    ];
    variables.extend(more);
    TestProcess::start("sh", &["-c", &script], &variables)
}

/// Silent connections to this address, each renewed every two seconds.
fn strangers(address: SocketAddr) -> Strangers {
    Strangers::start(address, SILENT, 1, Duration::from_secs(2))
}

/// Jobs are posted while silent connections come, again and again, to API and broker.
async fn jobs_are_taken_beside_strangers(process: &mut TestProcess) {
    let (api, broker) = (process.address_on("  API ").await, process.address_on("  broker ").await);
    let (to_api, to_broker) = (strangers(api), strangers(broker));
    for round in 1..=3 {
        eventually("strangers come", Duration::from_secs(120), || async {
            let goal = round * SILENT as u64;
            (to_api.opened() >= goal && to_broker.opened() >= goal).then_some(())
        })
        .await;
        for _ in 0..20 {
            // A client connects again where its connection has made room.
            eventually("a job is taken", Duration::from_secs(60), || async {
                let answer = http::post(api, "/jobs/add", r#"{"a":1,"b":2}"#).await.ok()?;
                (answer.status == 202).then_some(())
            })
            .await;
        }
    }
    process.signal("TERM").await;
    drop((to_api, to_broker));
    assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
    let output = process.output();
    for fault in ["Too many open files", "failed to accept", "the broker has failed"] {
        assert!(!output.contains(fault), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soft_limit_of_open_files_is_raised_and_silent_connections_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_limited("ulimit -Sn 1024", folder.path(), &[]);
    jobs_are_taken_beside_strangers(&mut process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_stay_below_a_hard_limit_and_leave_descriptors_for_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_limited("ulimit -n 1024", folder.path(), &[]);
    process.line_with("the limit of open files").await;
    jobs_are_taken_beside_strangers(&mut process).await;
}

#[tokio::test]
async fn a_limit_that_leaves_nothing_for_clients_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_limited("ulimit -n 256", folder.path(), &[]);
    assert_eq!(process.exit_code().await, Some(64));
    let output = process.output();
    for part in ["limit of open files: at most 256", "FAKTORY_MAX_CONNECTIONS=50", "LimitNOFILE"] {
        assert!(output.contains(part), "{part} not in {output}");
    }
}

#[test]
fn what_is_kept_for_the_store_is_what_the_store_may_open() {
    assert_eq!(service_runtime::STORE_FILES, faktory_broker::STORE_FILES_MAX);
}
