//! `work-factory key new`, and an API that requires keys.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use testkit::{eventually, http};

use crate::binary::{command, start};

async fn new_key(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = command(&[&["key", "new"], arguments].concat(), folder, &[]);
    let code = process.exit_code().await;
    (code, process.output())
}

fn secret_in(output: &str) -> String {
    output.lines().find(|line| line.starts_with("wf_")).unwrap().to_owned()
}

#[tokio::test]
async fn a_new_key_lets_its_holder_in_and_is_in_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let file = file.to_str().unwrap();
    let (code, output) =
        new_key(folder.path(), &["ci", "--scope", "post,read", "--file", file]).await;
    assert_eq!(code, Some(0), "{output}");
    let told = format!("is shown this once. Its line was added to {file}; an API that reads it");
    assert!(output.contains(&told), "{output}");
    let key = secret_in(&output);
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(kept.starts_with("ci post,read sha256:") && !kept.contains(&key), "{kept}");
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions())
            & 0o777,
        0o600
    );

    let mut process = start(
        folder.path(),
        &[("API_KEYS_FILE", file), ("BIND_ADDR", "0.0.0.0:0"), ("RUST_LOG", "trace")],
    );
    let port = process.address_on("  API ").await.port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let post = |key: String| async move {
        let headers = [("content-type", "application/json"), ("authorization", key.as_str())];
        http::Client::connect(address)
            .await
            .ok()?
            .send(Method::POST, "/jobs/add", &headers, r#"{"a":1,"b":2}"#)
            .await
            .ok()
    };
    eventually("the key is accepted", Duration::from_secs(20), || async {
        post(format!("Bearer {key}")).await.filter(|answer| answer.status == 202)
    })
    .await;
    assert_eq!(post("Bearer wf_planted-secret-5150".into()).await.unwrap().status, 401);
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, Some(0));
    for secret in [key.as_str(), "planted-secret-5150"] {
        assert!(!process.output().contains(secret));
    }
}

#[tokio::test]
async fn without_a_file_the_line_is_shown_and_each_mistake_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (code, output) = new_key(folder.path(), &["ci", "--scope", "post"]).await;
    assert!(
        code == Some(0) && output.contains("API_KEYS_FILE") && output.contains("ci post sha256:"),
        "{output}"
    );
    let file = folder.path().join("keys");
    let file = file.to_str().unwrap();
    assert_eq!(new_key(folder.path(), &["ci", "--scope", "post", "--file", file]).await.0, Some(0));
    for (arguments, says) in [
        (&["ci", "--scope", "post", "--file", file][..], "there is a key named ci already"),
        (&["two words", "--scope", "post"], "letters, digits"),
        (&["ci", "--scope", "fly"], "post, read or manage"),
        (&["ci"], "--scope"),
    ] {
        let (code, output) = new_key(folder.path(), arguments).await;
        assert!(code != Some(0) && output.contains(says), "{arguments:?}: {output}");
    }
}

#[tokio::test]
async fn an_api_without_keys_for_other_machines_does_not_start_and_says_the_two_remedies() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path(), &[("BIND_ADDR", "0.0.0.0:0")]);
    assert_eq!(process.exit_code().await, Some(64));
    let output = process.output();
    assert!(
        output.contains("API_KEYS_FILE") && output.contains("API_ALLOW_UNAUTHENTICATED=true"),
        "{output}"
    );
}
