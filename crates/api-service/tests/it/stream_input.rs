//! What streams make of long lines, and of bodies that can't be decoded.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;
use testkit::{TestApi, WorkServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a stream in full, and then reads its results, by line; the result without a line is first.
async fn post(api: &TestApi, encoding: &str, body: Vec<u8>) -> Vec<Value> {
    let (mut read, mut write) = TcpStream::connect(api.address()).await.unwrap().into_split();
    let head = format!(
        "POST /jobs/stream HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         content-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let sending = async {
        write.write_all(head.as_bytes()).await.unwrap();
        write.write_all(&body).await.unwrap();
    };
    let mut text = String::new();
    let talking = async {
        sending.await;
        read.read_to_string(&mut text).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(120), talking).await.unwrap();
    let (_, results) = text.split_once("\r\n\r\n").unwrap();
    let mut results: Vec<Value> =
        results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    results.sort_by_key(|result| result.get("line").and_then(Value::as_u64));
    results
}

fn code(result: &Value) -> Option<&str> {
    result.pointer("/error/code")?.as_str()
}

#[tokio::test]
async fn long_lines_between_short_ones_have_their_results() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let long = format!("{{\"jobtype\":\"x\",\"args\":[\"{}\"]}}", "a".repeat(1 << 20));
    let short = r#"{"operation":"add","a":1,"b":2}"#;
    let lines = [short, &long, "no job", short, &long[..1 << 20], &long, short];
    let results = post(&api, "identity", lines.join("\n").into_bytes()).await;
    let bad = Some("malformed_json");
    let codes: Vec<_> = results.iter().map(code).collect();
    assert_eq!(codes, [None, None, bad, None, bad, None, None]);
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 5);
}

#[tokio::test]
async fn after_a_fault_of_the_encoding_the_rest_is_read_and_the_last_results_arrive() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"{\"operation\":\"add\",\"a\":1,\"b\":2}\n").unwrap();
    let mut body = encoder.finish().unwrap();
    // More than the buffers of both sockets hold.
    body.extend(vec![b'x'; 30 << 20]);
    let results = post(&api, "gzip", body).await;
    let codes: Vec<_> = results.iter().map(code).collect();
    assert_eq!(codes, [Some("malformed_encoding"), None]);
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 1);
}
