//! Compressed bodies and compressed answers.

use std::io::Write;

use api_service::ApiConfig;
use axum::http::Method;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use testkit::{TestApi, WorkServer, http};

const JSON: (&str, &str) = ("content-type", "application/json");

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

async fn send(api: &TestApi, path: &str, encoding: &str, body: Vec<u8>) -> (u16, Value) {
    let mut client = http::Client::connect(api.address()).await.unwrap();
    let answer = client
        .send(Method::POST, path, &[JSON, ("content-encoding", encoding)], body)
        .await
        .unwrap();
    (answer.status.as_u16(), answer.body)
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1.get("code").and_then(Value::as_str).unwrap_or("-"))
}

#[tokio::test]
async fn compressed_bodies_are_accepted_up_to_a_decoded_size() {
    let server = WorkServer::broker().await;
    let mut config = ApiConfig::new(server.link());
    config.api.max_body_bytes = 100_000;
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let batch =
        format!("{{\"jobs\":[{}]}}", vec![r#"{"operation":"add","a":1,"b":2}"#; 100].join(","));
    let bomb = format!("{{\"jobtype\":\"x\",\"args\":[\"{}\"]}}", "a".repeat(50_000_000));
    for (name, encode) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        assert_eq!(
            send(&api, "/jobs/batch", name, encode(batch.as_bytes())).await.0,
            202,
            "{name}"
        );
        let small = encode(bomb.as_bytes());
        assert!(small.len() < 100_000, "{name}: {}", small.len());
        assert_eq!(
            code(&send(&api, "/jobs", name, small).await),
            (413, "body_too_large"),
            "{name}"
        );
        assert_eq!(
            code(&send(&api, "/jobs", name, b"{}".to_vec()).await),
            (400, "malformed_encoding"),
            "{name}"
        );
        let mut half = encode(batch.as_bytes());
        half.truncate(half.len() / 2);
        assert_eq!(
            code(&send(&api, "/jobs/batch", name, half).await),
            (400, "malformed_encoding"),
            "{name}"
        );
    }
    assert_eq!(
        code(&send(&api, "/jobs", "br", b"x".to_vec()).await),
        (415, "unsupported_media_type")
    );
    assert_eq!(
        code(&send(&api, "/jobs", "gzip, gzip", gzip(&gzip(b"{}"))).await),
        (415, "unsupported_media_type")
    );
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 200);
}

#[tokio::test]
async fn a_zstd_frame_with_a_large_window_is_refused() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    // A window of 128 MiB, which a decoder would have to keep.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(27)).unwrap();
    encoder.write_all(br#"{"operation":"add","a":1,"b":2}"#).unwrap();
    let frame = encoder.finish().unwrap();
    assert_eq!(code(&send(&api, "/jobs", "zstd", frame).await), (400, "malformed_encoding"));
}

#[tokio::test]
async fn an_encoded_body_that_holds_nothing_is_refused_and_the_connection_goes_on() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    // RFC 8878, 3.1.2: a frame that decoders skip.
    let skipped = [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0];
    let job = br#"{"operation":"add","a":1,"b":2}"#;
    for (name, piece) in [("gzip", gzip(b"")), ("zstd", zstd(b"")), ("zstd", skipped.to_vec())] {
        let mut client = http::Client::connect(api.address()).await.unwrap();
        let headers = [JSON, ("content-encoding", name)];
        let (empty, few) =
            (piece.repeat(5_000_000 / piece.len()), piece.repeat(300_000 / piece.len()));
        let answer = client.send(Method::POST, "/jobs", &headers, empty).await.unwrap();
        assert_eq!(code(&(answer.status.as_u16(), answer.body)), (400, "malformed_encoding"));
        let encoded = if name == "gzip" { gzip(job) } else { zstd(job) };
        let good = [piece.as_slice(), &encoded, &piece].concat();
        let answer = client.send(Method::POST, "/jobs", &headers, good).await.unwrap();
        assert_eq!(answer.status, 202, "{name}");

        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", name)];
        let answer = client.send(Method::POST, "/jobs/stream", &headers, few).await.unwrap();
        let text = answer.body.to_string();
        assert!(text.contains("malformed_encoding") && text.contains("163840"), "{name}: {text}");
    }
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 3);
}

#[tokio::test]
async fn a_stream_may_be_compressed() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let lines = "{\"operation\":\"add\",\"a\":1,\"b\":2}\n".repeat(1000);
    for (name, body) in [("gzip", gzip(lines.as_bytes())), ("zstd", zstd(lines.as_bytes()))] {
        let mut client = http::Client::connect(api.address()).await.unwrap();
        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", name)];
        let answer = client.send(Method::POST, "/jobs/stream", &headers, body).await.unwrap();
        assert_eq!(answer.status, 200, "{name}");
    }
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 2000);
}

#[tokio::test]
async fn a_long_answer_is_compressed_where_the_client_accepts_it() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let batch =
        format!("{{\"jobs\":[{}]}}", vec![r#"{"operation":"add","a":1,"b":2}"#; 100].join(","));
    for (accept, expected) in [("gzip", Some("gzip")), ("zstd", Some("zstd")), ("identity", None)] {
        let mut client = http::Client::connect(api.address()).await.unwrap();
        let answer = client
            .send(Method::POST, "/jobs/batch", &[JSON, ("accept-encoding", accept)], batch.clone())
            .await
            .unwrap();
        assert_eq!(answer.status, 202);
        assert_eq!(
            answer.headers.get("content-encoding").map(|value| value.to_str().unwrap()),
            expected,
            "{accept}"
        );
    }
}
