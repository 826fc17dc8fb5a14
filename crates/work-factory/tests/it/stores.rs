//! `work-factory broker verify` and `repair`, on stores that brokers have left.

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
    assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
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

    // The broker itself names the commands.
    let mut process = start(folder.path(), &[]);
    assert_eq!(process.exit_code().await, Some(1));
    let output = process.output();
    for told in ["manifest is missing", "work-factory broker verify", "work-factory broker repair"]
    {
        assert!(output.contains(told), "{told} not in {output}");
    }
}
