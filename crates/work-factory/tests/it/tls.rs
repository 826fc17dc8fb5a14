//! TLS from end to end, with the binaries: HTTPS in front, `tcp+tls://` behind.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use testkit::{Authority, TestProcess, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::binary::{command, start};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Posts a job by curl, which checks the certificate as any client does. Returns whether curl
/// succeeded, and what it printed.
async fn post(address: SocketAddr, authority: &Path) -> (bool, String) {
    let url = format!("https://localhost:{}/jobs/add", address.port());
    let arguments = [
        "-sS",
        "--fail-with-body",
        "--max-time",
        "20",
        "--cacert",
        text(authority),
        "--json",
        r#"{"a":1,"b":2}"#,
        &url,
    ];
    let output = Command::new("curl").args(arguments).stdin(Stdio::null()).output().await.unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

async fn posts(address: SocketAddr, authority: &Path) {
    let last = std::cell::RefCell::new(String::new());
    let try_it = || async {
        let (succeeded, said) = post(address, authority).await;
        last.replace(said);
        succeeded.then_some(())
    };
    let _ = tokio::time::timeout(
        Duration::from_secs(20),
        eventually("a job is posted", Duration::from_secs(30), try_it),
    )
    .await
    .map_err(|_| panic!("{}", last.borrow()));
}

/// The address on the broker's first screen.
async fn broker_address(process: &TestProcess) -> SocketAddr {
    process.address_on("  broker ").await
}

#[tokio::test]
async fn every_part_speaks_tls_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.file();
    let (certificate, key) = authority.certify("server", &["localhost"]);
    let (certificate, key) = (text(&certificate), text(&key));
    let tls = [
        ("BROKER_TLS_CERT_FILE", certificate),
        ("BROKER_TLS_KEY_FILE", key),
        ("BROKER_PASSWORD", "planted-secret-5150"),
    ];
    let mut broker = command(&["broker"], folder.path(), &tls);
    let url = format!(
        "tcp+tls://:planted-secret-5150@localhost:{}",
        broker_address(&broker).await.port()
    );
    let link =
        [("FAKTORY_URL", url.as_str()), ("FAKTORY_TLS_CA_FILE", text(&ca)), ("RUST_LOG", "debug")];
    let mut api = command(
        &["api"],
        folder.path(),
        &[&link[..], &[("API_TLS_CERT_FILE", certificate), ("API_TLS_KEY_FILE", key)]].concat(),
    );
    let mut worker = command(&["worker"], folder.path(), &link);
    let address = api.address_on("  API ").await;
    posts(address, &ca).await;
    worker.line_with("result=3").await;

    let stranger = Authority::new();
    let (succeeded, said) = post(address, &stranger.file()).await;
    assert!(!succeeded && said.contains("certificate"), "{said}");
    api.line_with("a client failed to agree on TLS").await;
    let url = format!("http://localhost:{}/jobs/add", address.port());
    let in_the_clear = Command::new("curl")
        .args(["-sS", "-i", "--json", r#"{"a":1,"b":2}"#, &url])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&in_the_clear.stdout);
    assert!(
        said.starts_with("HTTP/1.1 400 ")
            && said.contains("tls_needed")
            && said.contains("begins with https://"),
        "{said}"
    );
    for process in [&mut worker, &mut api, &mut broker] {
        process.signal("TERM").await;
        assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
        assert!(
            !process.output().contains("planted-secret-5150")
                && !process.output().contains("PRIVATE KEY")
        );
    }
}

#[tokio::test]
async fn the_parts_of_one_process_speak_tls_and_use_a_renewed_certificate_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let (certificate, key) = old.certify("server", &["localhost"]);
    let (cert_file, key_file) = (text(&certificate), text(&key));
    let variables = [
        ("BROKER_TLS_CERT_FILE", cert_file),
        ("BROKER_TLS_KEY_FILE", key_file),
        ("API_TLS_CERT_FILE", cert_file),
        ("API_TLS_KEY_FILE", key_file),
    ];
    let process = start(folder.path(), &variables);
    let address = process.address_on("  API ").await;
    posts(address, &old.file()).await;
    process.line_with("result=3").await;
    assert!(!post(address, &new.file()).await.0);

    // Half of a renewal: the new key does not fit the old certificate, so nothing changes.
    let half = new.certify("half", &["localhost"]);
    std::fs::copy(&half.1, &key).unwrap();
    process.line_with("failed to read the certificate and its key again").await;
    posts(address, &old.file()).await;

    new.certify_to(&certificate, &key, &["localhost"]);
    posts(address, &new.file()).await;
    assert!(!post(address, &old.file()).await.0);
}

#[tokio::test]
async fn a_failure_of_tls_to_the_work_server_is_told_with_the_variable_that_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.certify("server", &["broker.example"]);
    let tls = [("BROKER_TLS_CERT_FILE", text(&certificate)), ("BROKER_TLS_KEY_FILE", text(&key))];
    let broker = command(&["broker"], folder.path(), &tls);
    let url = format!("tcp+tls://127.0.0.1:{}", broker_address(&broker).await.port());
    let stranger = Authority::new();
    let (ca, other) = (authority.file(), stranger.file());
    let mut link = vec![("FAKTORY_URL", url.as_str()), ("FAKTORY_TLS_CA_FILE", text(&other))];
    let worker = command(&["worker"], folder.path(), &link);
    worker.line_with("UnknownIssuer (FAKTORY_TLS_CA_FILE says").await;
    // The API says the same: in the log, to a health check, and to a client that posts.
    let without_breaker = [&link[..], &[("FAKTORY_BREAKER_FAILURES", "0")]].concat();
    let api = command(&["api"], folder.path(), &without_breaker);
    let address = api.address_on("  API ").await;
    api.line_with("UnknownIssuer (FAKTORY_TLS_CA_FILE says").await;
    let names_it = |answer: testkit::http::Answer| {
        let is_named = answer.body.to_string().contains("(FAKTORY_TLS_CA_FILE says");
        (answer.status == 503 && is_named).then_some(())
    };
    eventually("the health check names the variable", Duration::from_secs(20), || async {
        names_it(testkit::http::get(address, "/ready").await.unwrap())
    })
    .await;
    let job = r#"{"a":1,"b":2}"#;
    let posted = testkit::http::post(address, "/jobs/add", job).await.unwrap();
    assert!(posted.body.to_string().contains("(FAKTORY_TLS_CA_FILE says"), "{}", posted.body);
    link[1] = ("FAKTORY_TLS_CA_FILE", text(&ca));
    let worker = command(&["worker"], folder.path(), &link);
    worker.line_with("(FAKTORY_TLS_SERVER_NAME says").await;
    link.push(("FAKTORY_TLS_SERVER_NAME", "broker.example"));
    let worker = command(&["worker"], folder.path(), &link);
    worker.line_with("connected to the work server").await;
}

#[tokio::test]
async fn a_faulty_file_is_told_with_its_variable_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.certify("one", &["localhost"]);
    let (_, other_key) = authority.certify("other", &["localhost"]);
    let (certificate, key, other_key) = (text(&certificate), text(&key), text(&other_key));
    let url = ("FAKTORY_URL", "tcp+tls://localhost:1");
    for (variables, says) in [
        (
            vec![("API_TLS_CERT_FILE", certificate)],
            "API_TLS_KEY_FILE: must be set together with API_TLS_CERT_FILE",
        ),
        (
            vec![("API_TLS_CERT_FILE", key), ("API_TLS_KEY_FILE", key)],
            "API_TLS_CERT_FILE: must name a PEM file with a certificate",
        ),
        (
            vec![("API_TLS_CERT_FILE", certificate), ("API_TLS_KEY_FILE", certificate)],
            "API_TLS_KEY_FILE: must name a PEM file with a private key",
        ),
        (
            vec![("API_TLS_CERT_FILE", certificate), ("API_TLS_KEY_FILE", other_key)],
            "API_TLS_KEY_FILE: does not go with the certificate",
        ),
        (
            vec![("FAKTORY_TLS_CA_FILE", certificate)],
            "FAKTORY_TLS_CA_FILE: has no effect unless FAKTORY_URL begins with tcp+tls://",
        ),
        (
            vec![url, ("FAKTORY_TLS_CA_FILE", "/nowhere")],
            "FAKTORY_TLS_CA_FILE: must name a file that can be read",
        ),
        (
            vec![
                url,
                ("FAKTORY_TLS_CA_FILE", certificate),
                ("FAKTORY_TLS_CERT_FILE", certificate),
                ("FAKTORY_TLS_KEY_FILE", other_key),
            ],
            "FAKTORY_TLS_KEY_FILE: does not go with the certificate",
        ),
        (
            vec![url, ("FAKTORY_TLS_CA_FILE", certificate), ("FAKTORY_TLS_SERVER_NAME", "no name")],
            "FAKTORY_TLS_SERVER_NAME: must be a name",
        ),
    ] {
        let mut process = start(folder.path(), &variables);
        assert_eq!(process.exit_code().await, Some(64), "{variables:?}: {}", process.output());
        assert!(process.output().contains(says), "{says}: {}", process.output());
    }
}

#[tokio::test]
async fn clients_that_fail_to_agree_on_tls_with_the_broker_get_no_line_of_the_log_each() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.certify("broker", &["127.0.0.1"]);
    let variables = [
        ("BROKER_TLS_CERT_FILE", text(&certificate)),
        ("BROKER_TLS_KEY_FILE", text(&key)),
        ("RUST_LOG", "info"),
    ];
    let broker = command(&["broker"], folder.path(), &variables);
    let address = broker_address(&broker).await;
    for _ in 0..20 {
        // A record of TLS whose message is none; the connection is closed in answer.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"\x16\x03\x01\0\x05hello").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let line = "a client failed to agree on TLS";
    broker.line_with(line).await;
    assert_eq!(broker.output().matches(line).count(), 1, "{}", broker.output());
}
