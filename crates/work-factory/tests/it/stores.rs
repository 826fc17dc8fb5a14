//! `work-factory broker backup` and `restore`, beside a broker; `verify` and `repair`, on stores
//! that brokers have left.

use std::path::Path;

use testkit::http;

use crate::binary::{command, start};

async fn verify(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = command(&[&["broker", "verify"], arguments].concat(), folder, &[]);
    let code = process.exit_code().await;
    (code, process.output())
}

#[tokio::test]
async fn a_store_is_verified_when_its_broker_has_ended_and_a_harmed_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (code, output) = verify(folder.path(), &[]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("name the folder that BROKER_DATA_DIR names"), "{output}");

    let mut process = start(folder.path(), &[("WORKER_QUEUES", "none")]);
    let address = process.address_on("  API ").await;
    let mut client = http::Client::connect(address).await.unwrap();
    let headers = [("content-type", "application/json")];
    let answer =
        client.send(hyper::Method::POST, "/jobs/add", &headers, r#"{"a":1,"b":2}"#).await.unwrap();
    assert_eq!(answer.status, 202);
    let (code, output) = verify(folder.path(), &[]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("is open: end the broker that uses it first"), "{output}");
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, Some(0));

    let elsewhere = tempfile::tempdir().unwrap();
    let (code, output) = verify(elsewhere.path(), &[folder.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{output}");
    for told in ["jobs: 1\n", "queue default: 1\n", "all is well\n"] {
        assert!(output.contains(told), "{told} not in {output}");
    }

    std::fs::remove_file(folder.path().join("store/manifest")).unwrap();
    let (code, output) = verify(folder.path(), &[]).await;
    assert_eq!(code, Some(1), "{output}");
    for told in ["jobs: 1\n", "fault: manifest is missing\n", "not all is well"] {
        assert!(output.contains(told), "{told} not in {output}");
    }

    let new = elsewhere.path().join("new");
    let arguments = ["broker", "repair", folder.path().to_str().unwrap(), new.to_str().unwrap()];
    let mut process = command(&arguments, folder.path(), &[]);
    assert_eq!(process.exit_code().await, Some(3), "{}", process.output());
    let output = process.output();
    for told in ["not kept: manifest is missing\n", "1 jobs were kept", "the new store is in "] {
        assert!(output.contains(told), "{told} not in {output}");
    }
    let (code, output) = verify(&new, &[]).await;
    assert_eq!(code, Some(0), "{output}");
    let mut process = start(&new, &[]);
    process.address_on("  API ").await;
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, Some(0));
    let mut process = command(&arguments, folder.path(), &[]);
    assert_eq!(process.exit_code().await, Some(1));
    assert!(process.output().contains("the folder is not empty"), "{}", process.output());
    // Of a whole store all is kept.
    let again = elsewhere.path().join("again");
    let arguments = ["repair", new.to_str().unwrap(), again.to_str().unwrap()];
    let (code, output) = run(folder.path(), &arguments).await;
    assert_eq!(code, Some(0), "{output}");

    // The broker itself names the commands.
    let mut process = start(folder.path(), &[]);
    assert_eq!(process.exit_code().await, Some(1));
    let output = process.output();
    for told in ["manifest is missing", "work-factory broker verify", "work-factory broker repair"]
    {
        assert!(output.contains(told), "{told} not in {output}");
    }
}

/// Runs a command on a store; its exit code, and what it says.
async fn run(data_dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = command(&[&["broker"], arguments].concat(), data_dir, &[]);
    let code = process.exit_code().await;
    (code, process.output())
}

#[tokio::test]
async fn a_running_broker_is_backed_up_and_a_backup_is_restored_into_an_empty_folder() {
    let root = tempfile::tempdir().unwrap();
    let [data, copy, again] = ["data", "copies/1", "again"].map(|name| root.path().join(name));
    let process = start(&data, &[("WORKER_QUEUES", "none")]);
    let address = process.address_on("  API ").await;
    for number in 0..20 {
        let job = format!(r#"{{"a":{number},"b":2}}"#);
        assert_eq!(http::post(address, "/jobs/add", job).await.unwrap().status, 202);
    }
    let path = copy.to_str().unwrap();
    let (code, output) = run(&data, &["backup", path]).await;
    assert_eq!(code, Some(0), "{output}");
    for told in ["jobs: 20\n", "queue default: 20\n", "all is well; ", "broker restore "] {
        assert!(output.contains(told), "{told} not in {output}");
    }
    let (code, output) = run(&data, &["backup", path]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("copies/1: the folder is not empty: name one"), "{output}");
    let (code, output) = run(&data, &["restore", path]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("data: the folder is not empty: name one"), "{output}");

    let (code, output) = run(&again, &["restore", path]).await;
    assert_eq!(code, Some(0), "{output}");
    drop(process);
    let process = start(&again, &[]);
    process.address_on("  API ").await;
    for number in 0..20 {
        process.line_with(&format!("result={}", number + 2)).await;
    }

    std::fs::remove_file(copy.join("store/manifest")).unwrap();
    let other = root.path().join("other");
    let (code, output) = run(&other, &["restore", path]).await;
    assert_eq!(code, Some(1), "{output}");
    for told in ["copies/1 can't be copied into ", "manifest is missing", "broker repair"] {
        assert!(output.contains(told), "{told} not in {output}");
    }
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
}
