//! The rest of a refused request's body is read, so that a client that is still sending sees the
//! answer: for every early refusal, by whichever handler or layer.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use api_service::ApiConfig;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use service_runtime::{Key, Keys, Scope, ServerTls};
use testkit::{Authority, TestApi, WorkServer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A refused request: its first line and headers without `Content-Length`, and the answer.
struct Refusal {
    request: String,
    status: u16,
    code: &'static str,
}

fn refusal(line: &str, headers: &[&str], status: u16, code: &'static str) -> Refusal {
    let host = if headers.iter().any(|header| header.starts_with("host:")) {
        ""
    } else {
        "host: localhost\r\n"
    };
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    Refusal { request: format!("{line} HTTP/1.1\r\n{host}{headers}"), status, code }
}

const JSON: &str = "content-type: application/json";
const LINES: &str = "content-type: application/x-ndjson";

/// The refusals of an API without keys, whose bodies may have 1,000 bytes.
fn refusals_without_keys() -> Vec<Refusal> {
    vec![
        refusal("POST /nope", &[JSON], 404, "not_found"),
        refusal("POST /jobs/%FF", &[JSON], 404, "not_found"),
        refusal("PUT /jobs/add", &[JSON], 405, "method_not_allowed"),
        refusal("POST /health", &[JSON], 405, "method_not_allowed"),
        refusal("POST /metrics", &[JSON], 405, "method_not_allowed"),
        refusal("POST /jobs/nope", &[JSON], 422, "unknown_operation"),
        refusal("POST /jobs", &[JSON], 413, "body_too_large"),
        refusal("POST /jobs/add", &[], 415, "unsupported_media_type"),
        refusal("POST /jobs/batch", &[LINES], 415, "unsupported_media_type"),
        refusal("POST /jobs/stream", &[JSON], 415, "unsupported_media_type"),
        refusal("POST /jobs", &[JSON, "content-encoding: br"], 415, "unsupported_media_type"),
        refusal(
            "POST /jobs/stream",
            &[LINES, "content-encoding: br"],
            415,
            "unsupported_media_type",
        ),
        refusal("POST /jobs", &[JSON, "idempotency-key: a b"], 400, "invalid_idempotency_key"),
        refusal(
            "POST /jobs/stream",
            &[LINES, "idempotency-key: 1"],
            400,
            "idempotency_not_supported",
        ),
        refusal("POST /jobs", &[JSON, "host: evil.example"], 403, "host_not_allowed"),
        refusal("POST /jobs", &[JSON, "origin: http://evil.example"], 403, "origin_not_allowed"),
        refusal("POST /jobs/stream", &[LINES, "host: evil.example"], 403, "host_not_allowed"),
    ]
}

async fn api_without_keys(server: &WorkServer) -> TestApi {
    let mut config = ApiConfig::new(server.link());
    config.api.max_body_bytes = 1000;
    TestApi::start_with(config).await
}

/// The refusals of an API with keys, for requests with no key, a wrong key, and a key without the
/// scope.
async fn api_with_keys(server: &WorkServer) -> (TestApi, Vec<Refusal>) {
    let (reader, key) = Key::new("reader", [Scope::Read]).unwrap();
    let keys = Keys::parse(&key.line()).unwrap();
    let config =
        ApiConfig::new(server.link()).with(|api| api.keys = Some((PathBuf::from("nowhere"), keys)));
    let api = TestApi::start_with(config).await;
    let reader = format!("authorization: Bearer {}", reader.reveal());
    let wrong = "authorization: Bearer wf_wrong";
    let mut refusals = Vec::new();
    for path in ["/jobs", "/jobs/add", "/jobs/batch", "/jobs/stream"] {
        let line = format!("POST {path}");
        refusals.push(refusal(&line, &[JSON], 401, "key_missing"));
        refusals.push(refusal(&line, &[JSON, wrong], 401, "key_unknown"));
        refusals.push(refusal(&line, &[JSON, &reader], 403, "scope_missing"));
    }
    (api, refusals)
}

/// An answer: its head in lower case, and its body.
struct Answer {
    head: String,
    body: Value,
}

impl Answer {
    fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }

    fn check(&self, refusal: &Refusal) {
        let Refusal { request, status, code } = refusal;
        let begin = format!("http/1.1 {status} ");
        assert!(self.head.starts_with(&begin), "{request}: {}", self.head);
        assert_eq!(self.body.get("code").and_then(Value::as_str), Some(*code), "{request}");
    }
}

/// A connection to the API.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).await.unwrap() > 0, "no whole head: {head:?}");
        }
        let head = head.to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).await.unwrap();
        Answer { head, body: serde_json::from_slice(&body).unwrap_or_default() }
    }
}

/// Sends a body of 4 MiB to its end, and then the next request on the same connection.
async fn is_drained(address: SocketAddr, refusal: &Refusal) {
    let body = "a".repeat(4 << 20);
    let mut connection = Connection::open(address).await;
    connection.send(&format!("{}content-length: {}\r\n\r\n", refusal.request, body.len())).await;
    connection.send(&body).await;
    let answer = connection.answer().await;
    answer.check(refusal);
    assert!(!answer.closes(), "{}: {}", refusal.request, answer.head);
    connection.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(connection.answer().await.head.starts_with("http/1.1 200 "), "{}", refusal.request);
}

/// Waits for leave to send the body, which is refused instead.
async fn is_not_invited(address: SocketAddr, refusal: &Refusal) {
    let mut connection = Connection::open(address).await;
    let request = &refusal.request;
    connection
        .send(&format!("{request}expect: 100-continue\r\ncontent-length: 2000\r\n\r\n"))
        .await;
    let answer = connection.answer().await;
    answer.check(refusal);
    assert!(answer.closes(), "{request}: {}", answer.head);
}

/// Sends a part of a body, and never the rest.
async fn is_not_waited_for(address: SocketAddr, refusal: Refusal) {
    let mut connection = Connection::open(address).await;
    connection.send(&format!("{}content-length: 2000\r\n\r\n{{", refusal.request)).await;
    let answer = connection.answer().await;
    answer.check(&refusal);
    assert!(answer.closes(), "{}: {}", refusal.request, answer.head);
}

#[tokio::test]
async fn a_refused_body_is_read_to_its_end_and_the_connection_is_kept() {
    let server = WorkServer::broker().await;
    let api = api_without_keys(&server).await;
    for refusal in refusals_without_keys() {
        is_drained(api.address(), &refusal).await;
    }
    let (api, refusals) = api_with_keys(&server).await;
    for refusal in refusals {
        is_drained(api.address(), &refusal).await;
    }
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_is_refused_and_its_connection_closed() {
    let server = WorkServer::broker().await;
    let api = api_without_keys(&server).await;
    for refusal in refusals_without_keys() {
        is_not_invited(api.address(), &refusal).await;
    }
    let (api, refusals) = api_with_keys(&server).await;
    for refusal in refusals {
        is_not_invited(api.address(), &refusal).await;
    }
}

#[tokio::test]
async fn where_the_end_of_a_refused_body_does_not_come_the_connection_is_closed() {
    let server = WorkServer::broker().await;
    let without_keys = api_without_keys(&server).await;
    let (with_keys, refusals_with_keys) = api_with_keys(&server).await;
    let mut clients = JoinSet::new();
    for refusal in refusals_without_keys() {
        clients.spawn(is_not_waited_for(without_keys.address(), refusal));
    }
    for refusal in refusals_with_keys {
        clients.spawn(is_not_waited_for(with_keys.address(), refusal));
    }
    clients.join_all().await;
}

#[tokio::test]
async fn a_body_that_is_refused_in_its_middle_is_drained_too() {
    let server = WorkServer::broker().await;
    let api = api_without_keys(&server).await;
    let mut connection = Connection::open(api.address()).await;
    let refusal = refusal("POST /jobs", &[JSON], 413, "body_too_large");
    connection.send(&format!("{}transfer-encoding: chunked\r\n\r\n", refusal.request)).await;
    let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
    connection.send(&chunk.repeat(4096)).await;
    connection.send("0\r\n\r\n").await;
    let answer = connection.answer().await;
    answer.check(&refusal);
    assert!(!answer.closes(), "{}", answer.head);
    connection.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(connection.answer().await.head.starts_with("http/1.1 200 "));
}

/// Sends an encoded body of 30 MiB to its end.
async fn sends_encoded(address: SocketAddr, body: &[u8], refusal: &Refusal) {
    let mut connection = Connection::open(address).await;
    connection.send(&format!("{}transfer-encoding: chunked\r\n\r\n", refusal.request)).await;
    for chunk in body.chunks(1 << 20) {
        connection.send(&format!("{:x}\r\n", chunk.len())).await;
        connection.0.write_all(chunk).await.unwrap();
        connection.send("\r\n").await;
    }
    connection.send("0\r\n\r\n").await;
    let answer = connection.answer().await;
    answer.check(refusal);
    assert!(!answer.closes(), "{}: {}", refusal.request, answer.head);
}

#[tokio::test]
async fn an_encoded_body_that_is_too_large_or_malformed_is_drained_too() {
    let server = WorkServer::broker().await;
    let api = api_without_keys(&server).await;
    let noise = vec![b'a'; 30 << 20];
    // Without compression, so that the encoded body is as large as the decoded one.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&noise).unwrap();
    let gzipped = encoder.finish().unwrap();
    for (body, status, code) in
        [(gzipped, 413, "body_too_large"), (noise, 400, "malformed_encoding")]
    {
        let refusal = refusal("POST /jobs", &[JSON, "content-encoding: gzip"], status, code);
        sends_encoded(api.address(), &body, &refusal).await;
    }
}

#[tokio::test]
async fn an_encoded_body_whose_chunks_are_broken_is_refused_and_the_connection_closed() {
    let server = WorkServer::broker().await;
    let api = api_without_keys(&server).await;
    for encoding in ["content-encoding: gzip", "content-encoding: zstd"] {
        let refusal = refusal("POST /jobs", &[JSON, encoding], 400, "malformed_encoding");
        let mut connection = Connection::open(api.address()).await;
        let request = &refusal.request;
        connection.send(&format!("{request}transfer-encoding: chunked\r\n\r\nno length\r\n")).await;
        let answer = connection.answer().await;
        answer.check(&refusal);
        assert!(answer.closes(), "{request}: {}", answer.head);
    }
}

#[tokio::test]
async fn a_client_that_never_stops_sending_sees_the_refusal() {
    let server = WorkServer::broker().await;
    let api = api_without_keys(&server).await;
    let refusal = refusal("POST /nope", &[JSON], 404, "not_found");
    let mut connection = Connection::open(api.address()).await;
    connection.send(&format!("{}transfer-encoding: chunked\r\n\r\n", refusal.request)).await;
    let chunk = format!("100000\r\n{}\r\n", "a".repeat(1 << 20));
    let (mut reader, mut writer) = connection.0.into_inner().into_split();
    let sending =
        tokio::spawn(async move { while writer.write_all(chunk.as_bytes()).await.is_ok() {} });
    let mut answer = Vec::new();
    // The connection ends with the answer, or with a reset because of the bytes still on the way.
    while reader.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("not_found"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    sending.await.unwrap();
}

#[tokio::test]
async fn a_stream_above_their_number_is_drained_too() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = Connection::open(api.address()).await;
        let request = format!(
            "POST /jobs/stream HTTP/1.0\r\nhost: localhost\r\n{LINES}\r\ncontent-length: 9"
        );
        stream.send(&format!("{request}\r\n\r\n")).await;
        let head = stream.answer().await.head;
        assert!(head.starts_with("http/1.0 200 "), "{head}");
        streams.push(stream);
    }
    is_drained(api.address(), &refusal("POST /jobs/stream", &[LINES], 503, "overloaded")).await;
}

#[tokio::test]
async fn a_plain_request_to_a_port_with_tls_is_drained_and_the_connection_closed() {
    let server = WorkServer::broker().await;
    let authority = Authority::new();
    let (certificate, key) = authority.certify("api", &["127.0.0.1"]);
    let tls = Some(ServerTls::load(&certificate, &key).unwrap());
    let config = ApiConfig::new(server.link()).with(|api| api.tls = tls);
    let api = TestApi::start_with(config).await;
    let refusal = refusal("POST /jobs", &[JSON], 400, "tls_needed");
    let body = "a".repeat(4 << 20);
    let mut connection = Connection::open(api.address()).await;
    connection.send(&format!("{}content-length: {}\r\n\r\n", refusal.request, body.len())).await;
    connection.send(&body).await;
    let answer = connection.answer().await;
    answer.check(&refusal);
    assert!(answer.closes(), "{}", answer.head);
    is_not_waited_for(api.address(), refusal).await;
}

#[tokio::test]
async fn a_body_that_no_handler_asked_for_does_not_delay_a_success() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut connection = Connection::open(api.address()).await;
    connection
        .send("GET /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000\r\n\r\n")
        .await;
    let answer = connection.answer().await;
    assert!(answer.head.starts_with("http/1.1 200 ") && !answer.closes(), "{}", answer.head);
}
