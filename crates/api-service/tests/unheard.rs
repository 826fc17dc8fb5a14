//! Jobs whose client leaves before their outcomes are known. In a process of its own, because a
//! process has one set of metrics.

#![expect(clippy::unwrap_used, reason = "a test")]
use std::time::Duration;

use testkit::{Quirky, TestApi, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn scrape(api: &TestApi) -> String {
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn jobs_whose_client_left_are_counted_as_unknown() {
    // The server reads pushes of jobs and gives no reply.
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            if line != "PUSHB []" {
                return session.silence().await;
            }
            session.send("$2\r\n{}\r\n").await;
        }
    })
    .await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    for (path, content_type) in
        [("/jobs", "application/json"), ("/jobs/stream", "application/x-ndjson")]
    {
        let body = "{\"operation\":\"add\",\"a\":1,\"b\":2}\n";
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: \
             {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).await.unwrap();
        eventually("the job is in flight", Duration::from_secs(20), || async {
            (value(&api, IN_FLIGHT).await > 0.0).then_some(())
        })
        .await;
        let before = value(&api, UNKNOWN).await;
        drop(stream);
        eventually("the job is counted", Duration::from_secs(20), || async {
            (value(&api, UNKNOWN).await > before).then_some(())
        })
        .await;
        // The connection that carried the job gives up, and no job is in flight any more.
        eventually("no job is in flight", Duration::from_secs(20), || async {
            (value(&api, IN_FLIGHT).await == 0.0).then_some(())
        })
        .await;
    }
    assert!((value(&api, UNKNOWN).await - 2.0).abs() < f64::EPSILON, "each job once");
}

const UNKNOWN: &str = "work_factory_jobs_total{outcome=\"unknown\"}";
const IN_FLIGHT: &str = "work_factory_jobs_in_flight";

/// The value of a metric; 0 where it has none yet.
async fn value(api: &TestApi, name: &str) -> f64 {
    let text = scrape(api).await;
    let found =
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0.0)
}
