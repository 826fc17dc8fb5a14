//! What anybody can cause thousands of times a second is counted in the log, not told each time.

use std::time::Duration;

use testkit::{Authority, TestProcess, WorkServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the API sends first; empty where it closes the connection.
async fn beginning(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut answer));
    let length = read.await.unwrap().unwrap_or(0);
    String::from_utf8_lossy(answer.get(..length).unwrap()).into_owned()
}

/// The API's binary, in which few files may be open, and how it is reached.
async fn process_of_few_files(server: &WorkServer, more: &[(&str, &str)]) -> TestProcess {
    let url = format!("tcp://{}", server.address());
    let variables = [
        ("FAKTORY_URL", url.as_str()),
        ("FAKTORY_MAX_CONNECTIONS", "2"),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "info"),
    ];
    let limited = ["-c", "ulimit -n 170; exec \"$0\"", env!("CARGO_BIN_EXE_api-service")];
    TestProcess::start("sh", &limited, &[&variables, more].concat())
}

#[tokio::test]
async fn refused_connections_are_counted_in_the_log_and_get_no_line_each() {
    let server = WorkServer::broker().await;
    let api = process_of_few_files(&server, &[]).await;
    let address = api.listening("the API listens").await;
    let request = "GET /health HTTP/1.1\r\nhost: localhost\r\nx-request-id: of-a-stranger\r\n\r\n";
    let mut held = Vec::new();
    let mut refused = 0;
    while refused < 20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = beginning(&mut stream).await;
        if answer.starts_with("HTTP/1.1 200") {
            held.push(stream);
        } else {
            assert!(answer.contains("too_many_connections"), "{answer}");
            refused += 1;
        }
        assert!(held.len() < 170, "nothing is refused");
    }
    api.line_with("count=1").await;
    assert!(!api.output().contains("of-a-stranger"), "{}", api.output());
}

#[tokio::test]
async fn clients_that_fail_to_agree_on_tls_are_counted_in_the_log_and_get_no_line_each() {
    let server = WorkServer::broker().await;
    let authority = Authority::new();
    let (cert, key) = authority.certify("api", &["127.0.0.1"]);
    let files = [
        ("API_TLS_CERT_FILE", cert.to_str().unwrap()),
        ("API_TLS_KEY_FILE", key.to_str().unwrap()),
    ];
    let api = process_of_few_files(&server, &files).await;
    let address = api.listening("the API listens").await;
    for _ in 0..20 {
        // A record of TLS whose message is none; the connection is closed in answer.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"\x16\x03\x01\0\x05hello").await.unwrap();
        beginning(&mut stream).await;
    }
    let line = "a client failed to agree on TLS";
    api.line_with(line).await;
    assert_eq!(api.output().matches(line).count(), 1, "{}", api.output());
}
