//! `--healthcheck`, which containers ask: content while the process lives, and not afterwards.

use testkit::{Authority, TestProcess};

use crate::binary::{command, free_address};

async fn is_healthy(arguments: &[&str], folder: &std::path::Path, variables: &[(&str, &str)]) -> bool {
    let mut process = command(&[arguments, &["--healthcheck"]].concat(), folder, variables);
    let code = process.exit_code().await;
    println!("{arguments:?}: {code:?} {}", process.output());
    code == Some(0)
}

#[tokio::test]
async fn each_part_is_healthy_while_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.certify("server", &["somewhere.example"]);
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let addresses: Vec<String> = (0..3).map(|_| free_address().to_string()).collect();
    let url = format!("tcp+tls://{}", addresses[0]);
    let ca = authority.file();
    let variables = [
        ("BROKER_BIND_ADDR", addresses[0].as_str()),
        ("BIND_ADDR", &addresses[1]),
        ("WORKER_BIND_ADDR", &addresses[2]),
        ("BROKER_TLS_CERT_FILE", certificate),
        ("BROKER_TLS_KEY_FILE", key),
        ("API_TLS_CERT_FILE", certificate),
        ("API_TLS_KEY_FILE", key),
        ("FAKTORY_URL", &url),
        ("FAKTORY_TLS_CA_FILE", ca.to_str().unwrap()),
        ("FAKTORY_TLS_SERVER_NAME", "somewhere.example"),
    ];
    for (part, listens) in [("broker", "Ctrl-C"), ("api", "the API listens"), ("worker", "the worker answers")] {
        let mut process = command(&[part], folder.path(), &variables);
        process.line_with(listens).await;
        assert!(is_healthy(&[part], folder.path(), &variables).await, "{part}: {}", process.output());
        process.kill().await;
        assert!(!is_healthy(&[part], folder.path(), &variables).await, "{part}");
    }
    let worker = [("FAKTORY_URL", "tcp://127.0.0.1:1")];
    let mut process: TestProcess = command(&["worker", "--healthcheck"], folder.path(), &worker);
    assert_eq!(process.exit_code().await, Some(1));
    assert!(process.output().contains("WORKER_BIND_ADDR"), "{}", process.output());
}
