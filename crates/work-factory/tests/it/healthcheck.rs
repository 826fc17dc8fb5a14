//! `--healthcheck`, which containers run: it succeeds while the process lives, and not afterwards.

use testkit::{Authority, TestProcess};

use crate::binary::{command, free_address};

async fn is_healthy(
    arguments: &[&str],
    folder: &std::path::Path,
    variables: &[(&str, &str)],
) -> bool {
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
    let ca = authority.file();
    let mut url = "tcp+tls://127.0.0.1:1".to_owned();
    for (part, variable, listens) in [
        ("broker", "BROKER_BIND_ADDR", "Ctrl-C"),
        ("api", "BIND_ADDR", "the API listens"),
        ("worker", "WORKER_BIND_ADDR", "the worker answers"),
    ] {
        // The port is chosen just before it is used, because other tests choose ports too.
        let address = free_address().to_string();
        if part == "broker" {
            url = format!("tcp+tls://{address}");
        }
        let mut variables = vec![
            ("BROKER_TLS_CERT_FILE", certificate),
            ("BROKER_TLS_KEY_FILE", key),
            ("API_TLS_CERT_FILE", certificate),
            ("API_TLS_KEY_FILE", key),
            ("FAKTORY_URL", url.as_str()),
            ("FAKTORY_TLS_CA_FILE", ca.to_str().unwrap()),
            ("FAKTORY_TLS_SERVER_NAME", "somewhere.example"),
            (variable, address.as_str()),
        ];
        let mut process = command(&[part], folder.path(), &variables);
        process.line_with(listens).await;
        assert!(
            is_healthy(&[part], folder.path(), &variables).await,
            "{part}: {}",
            process.output()
        );
        // A fault that a file has got meanwhile is no reason to end the process.
        variables.push(("API_KEYS_FILE", "/nowhere"));
        assert!(
            is_healthy(&[part], folder.path(), &variables).await,
            "{part}: {}",
            process.output()
        );
        process.kill().await;
        assert!(!is_healthy(&[part], folder.path(), &variables).await, "{part}");
    }
    let worker = [("FAKTORY_URL", "tcp://127.0.0.1:1")];
    let mut process: TestProcess = command(&["worker", "--healthcheck"], folder.path(), &worker);
    assert_eq!(process.exit_code().await, Some(64));
    assert!(process.output().contains("WORKER_BIND_ADDR"), "{}", process.output());
    let mut process: TestProcess =
        command(&["worker", "--env-file", "/nowhere", "--healthcheck"], folder.path(), &worker);
    assert_eq!(process.exit_code().await, Some(64));
    assert!(process.output().contains("--env-file: /nowhere"), "{}", process.output());
}
