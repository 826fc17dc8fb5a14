//! The layers together, over connections in memory. Where the clock is paused, it goes on only
//! while no task has work, so the times are exact.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{LinkConfig, LinkPool, Pusher};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use service_runtime::{Key, Keys};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::*;
use crate::config::ApiConfig;
use crate::figures::Figures;
use crate::state::State;

const MIB: usize = 1 << 20;

/// The state of a service whose work server is never asked.
fn state() -> SharedState {
    state_with(None)
}

/// The same with a key.
fn state_with(key: Option<Key>) -> SharedState {
    let link = LinkConfig::new("127.0.0.1", 1);
    let pusher = Pusher::new(LinkPool::new(link.clone()).unwrap());
    let address = SocketAddr::from(([127, 0, 0, 1], 3000));
    let keys = key.map(|key| ("keys".into(), Keys::parse(&key.line()).unwrap()));
    let config = ApiConfig::new(link).with(|api| api.keys = keys);
    Arc::new(State::new(config, address, pusher, Arc::new(Figures::new())))
}

/// A connection that is served.
fn connect(service: impl HttpService) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 << 10);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    let service = TowerToHyperService::new(service);
    tokio::spawn(builder.serve_connection(TokioIo::new(server), service));
    client
}

/// Sends the head of a request, and the beginning of its body.
async fn begin(client: &mut DuplexStream, path: &str, length: usize, body: &str) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         x-request-id: the-id\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    client.write_all(head.as_bytes()).await.unwrap();
}

/// The answer, up to the end of the connection or of the first problem document.
async fn answer(client: &mut DuplexStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") && client.read_buf(&mut answer).await.unwrap() > 0 {}
    String::from_utf8(answer).unwrap()
}

async fn panics(_: Request) {
    panic!("a defect for the test");
}

#[tokio::test]
async fn the_answer_to_a_panic_has_a_request_id_is_measured_and_comes_after_the_body() {
    let state = state();
    let routes = Router::new().route("/jobs", post(panics));
    let mut client = connect(with_layers(routes, &state));
    begin(&mut client, "/jobs", 30 * MIB, "").await;
    client.write_all(&vec![b'a'; 30 * MIB]).await.unwrap();
    let answer = answer(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("\r\nx-request-id: the-id\r\n"), "{answer}");
    assert!(answer.contains(r#""code":"internal_error""#), "{answer}");
    assert!(answer.contains(r#""request_id":"the-id""#), "{answer}");
    assert!(!answer.contains("\r\nconnection: close\r\n"), "{answer}");
    let metrics = service_runtime::metrics::record_metrics().unwrap().render();
    let counted = r#"work_factory_http_request_seconds_count{path="/jobs",status="5xx"} 1"#;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_waits_2_s_for_the_end_of_a_body_that_stays_open() {
    let state = state();
    let begun = Instant::now();
    let mut client = connect(api(&state));
    begin(&mut client, "/nope", 2000, "{").await;
    let answer = answer(&mut client).await;
    let took = begun.elapsed();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(2100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_slow_is_refused_without_a_further_wait() {
    let state = state();
    let begun = Instant::now();
    let mut client = connect(api(&state));
    begin(&mut client, "/jobs", 2000, "{").await;
    let answer = answer(&mut client).await;
    let took = begun.elapsed();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    let idle = state.config.body_idle_timeout;
    assert!(took >= idle && took < idle + Duration::from_millis(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_without_an_end_is_answered_after_64_mib() {
    let state = state();
    let begun = Instant::now();
    let mut client = connect(api(&state));
    begin(&mut client, "/nope", usize::MAX >> 1, "").await;
    let (chunk, mut sent) = (vec![b'a'; MIB], 0);
    while sent < 100 * MIB && client.write_all(&chunk).await.is_ok() {
        sent += MIB;
    }
    assert!((64 * MIB..66 * MIB).contains(&sent), "{sent}");
    let answer = answer(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_are_counted_and_refused_late_after_some_and_a_good_key_never() {
    let (good, key) = Key::new("ci", [Scope::Post]).unwrap();
    let state = state_with(Some(key));
    let mut client = connect(api(&state));
    let mut ask = async |key: &str| {
        let begun = Instant::now();
        let request = format!(
            "POST /jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = answer(&mut client).await;
        let status = answer.split(' ').nth(1).unwrap().to_owned();
        (status, begun.elapsed().as_millis())
    };
    for wait in [0, 0, 0, 100, 200, 400, 800, 1000] {
        assert_eq!(ask("wf_wrong").await, ("401".into(), wait));
    }
    assert_eq!(ask(good.reveal()).await, ("422".into(), 0));
    let metrics = service_runtime::metrics::record_metrics().unwrap().render();
    let counted = r#"work_factory_http_denied_total{reason="key_unknown"} 8"#;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
}
