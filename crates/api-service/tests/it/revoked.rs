//! A key that is taken back while its client is connected.

use std::path::Path;
use std::time::Duration;

use api_service::ApiConfig;
use hyper::Method;
use serde_json::{Value, json};
use service_runtime::{Key, Keys, Scope, Secret};
use testkit::{TestApi, WorkServer, eventually, http};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const JOB: &str = r#"{"operation":"add","a":1,"b":2}"#;

/// An API with one key, and the file that has it.
async fn api(server: &WorkServer, file: &Path) -> (TestApi, Secret) {
    let (secret, key) = Key::new("ci", [Scope::Post]).unwrap();
    std::fs::write(file, format!("{}\n", key.line())).unwrap();
    let keys = Keys::parse(&key.line()).unwrap();
    let config = ApiConfig::new(server.link()).with(|api| api.keys = Some((file.to_owned(), keys)));
    let api = TestApi::start_with(config).await;
    api.ready().await;
    (api, secret)
}

/// A stream in progress, over HTTP/1.0: its lines end with the connection.
struct Stream(BufReader<TcpStream>);

impl Stream {
    async fn begin(api: &TestApi, key: &Secret) -> Self {
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        let head = format!(
            "POST /jobs/stream HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/x-ndjson\r\ncontent-length: 1000000\r\n\r\n",
            key.reveal()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut stream = Self(BufReader::new(stream));
        while !stream.text().await.unwrap().is_empty() {}
        stream
    }

    /// Sends a line; false where the API has ended the stream and closed the connection.
    async fn send(&mut self, line: &str) -> bool {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.is_ok()
    }

    async fn text(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        let read = tokio::time::timeout(Duration::from_secs(30), read).await.unwrap().unwrap();
        (read > 0).then(|| line.trim_end().to_owned())
    }

    async fn result(&mut self) -> Option<Value> {
        self.text().await.map(|line| serde_json::from_str(&line).unwrap())
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_taken_back_and_takes_no_line_after_that() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let server = WorkServer::broker().await;
    let (api, key) = api(&server, &file).await;
    let mut stream = Stream::begin(&api, &key).await;
    assert!(stream.send(JOB).await);
    let stored = stream.result().await.unwrap();
    assert!(at(&stored, "/job_id").is_string(), "{stored}");

    std::fs::write(&file, "").unwrap();
    // The stream is silent, and is ended all the same.
    let last = stream.result().await.unwrap();
    assert_eq!(at(&last, "/line"), &Value::Null, "{last}");
    assert_eq!(
        (at(&last, "/error/code"), at(&last, "/error/outcome"), at(&last, "/error/status")),
        (&json!("key_unknown"), &json!("not_sent"), &json!(401)),
        "{last}"
    );
    // A client that has not read the end yet sends on, and no line is taken.
    for _ in 0..100 {
        if !stream.send(JOB).await {
            break;
        }
    }
    assert_eq!(stream.result().await, None, "no further result");
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 1);
}

#[tokio::test]
async fn a_stream_ends_when_its_key_loses_the_scope_and_lines_before_that_have_their_results() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let server = WorkServer::broker().await;
    let (api, key) = api(&server, &file).await;
    let mut stream = Stream::begin(&api, &key).await;
    let line = std::fs::read_to_string(&file).unwrap().replace(" post ", " read ");
    std::fs::write(&file, line).unwrap();
    // Lines are sent until the end comes; a line that was taken just before has its result after.
    let (mut sent, mut stored) = (0, 0);
    let last = loop {
        sent += u64::from(stream.send(JOB).await);
        let result = stream.result().await.unwrap();
        if at(&result, "/line") == &Value::Null {
            break result;
        }
        assert!(at(&result, "/job_id").is_string(), "{result}");
        stored += 1;
    };
    assert_eq!(at(&last, "/error/code"), "scope_missing", "{last}");
    while let Some(result) = stream.result().await {
        assert!(at(&result, "/job_id").is_string(), "{result}");
        stored += 1;
    }
    assert!(sent == stored || sent == stored + 1, "{sent} {stored}");
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, stored);
}

#[tokio::test]
async fn a_connection_that_is_kept_is_asked_for_its_key_at_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let server = WorkServer::broker().await;
    let (api, key) = api(&server, &file).await;
    let client = http::Client::connect(api.address()).await.unwrap();
    let client = std::sync::Arc::new(tokio::sync::Mutex::new(client));
    let bearer = format!("Bearer {}", key.reveal());
    let post = || async {
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let mut client = client.lock().await;
        client.send(Method::POST, "/jobs", &headers, JOB).await.unwrap().status.as_u16()
    };
    assert_eq!(post().await, 202);
    std::fs::write(&file, "").unwrap();
    eventually("the key is no longer good", Duration::from_secs(30), || async {
        (post().await == 401).then_some(())
    })
    .await;
}
