//! The circuit breaker: a work server that fails repeatedly gets no jobs for a while, and jobs go
//! there again without help once it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api_service::ApiConfig;
use serde_json::Value;
use testkit::{Quirky, TestApi, eventually, http};

#[tokio::test]
async fn the_circuit_opens_is_shown_and_closes_without_help() {
    // While broken, every connection ends at its first command, a probe's too.
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let server = Quirky::start(move |_, mut session| {
        let is_broken = Arc::clone(&is_broken);
        async move {
            session.welcome().await;
            while session.line().await.is_some() {
                if is_broken.load(Ordering::SeqCst) {
                    return session.reset();
                }
                session.send("$2\r\n{}\r\n").await;
            }
        }
    })
    .await;
    let mut config = ApiConfig::new(server.link());
    config.link.breaker_failures = 3;
    config.link.breaker_open_for = Duration::from_millis(100);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let address = api.address();
    let post =
        || async move { http::post(address, "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap() };
    assert_eq!(post().await.status, 202);
    broken.store(true, Ordering::SeqCst);
    let open = eventually("the circuit opens", Duration::from_secs(20), || async move {
        let answer = post().await;
        assert_ne!(answer.status, 202);
        (answer.body.get("code").and_then(Value::as_str) == Some("circuit_open")).then_some(answer)
    })
    .await;
    assert_eq!(open.status, 503);
    assert!(open.headers.contains_key("retry-after"));
    let ready = http::get(address, "/ready").await.unwrap();
    assert_eq!(ready.status, 503);
    assert!(
        matches!(ready.body.get("circuit").and_then(Value::as_str), Some("open" | "half_open")),
        "{}",
        ready.body
    );
    broken.store(false, Ordering::SeqCst);
    eventually("the circuit closes", Duration::from_secs(20), || async move {
        (post().await.status == 202).then_some(())
    })
    .await;
    let ready = http::get(address, "/ready").await.unwrap();
    assert_eq!(
        (ready.status.as_u16(), ready.body.get("circuit").and_then(Value::as_str)),
        (200, Some("closed"))
    );
}

#[tokio::test]
async fn retry_after_tells_when_the_circuit_is_tried_again() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            if line != "PUSHB []" {
                return session.reset();
            }
            session.send("$2\r\n{}\r\n").await;
        }
    })
    .await;
    let mut config = ApiConfig::new(server.link());
    config.link.breaker_failures = 1;
    config.link.breaker_open_for = Duration::from_secs(3000);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let address = api.address();
    let post = |path, body| async move { http::post(address, path, body).await.unwrap() };
    assert_eq!(post("/jobs/add", r#"{"a":1,"b":2}"#).await.status, 504);
    for (path, body) in [
        ("/jobs/add", r#"{"a":1,"b":2}"#),
        ("/jobs/batch", r#"{"jobs":[{"operation":"add","a":1,"b":2}]}"#),
    ] {
        let open = post(path, body).await;
        assert_eq!(open.body.get("code").and_then(Value::as_str), Some("circuit_open"));
        let seconds: u64 =
            open.headers.get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
        assert!((2900..=3000).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn connections_that_are_silently_dead_do_not_keep_the_circuit_open() {
    // The first sixteen connections answer until they are dead; later ones work.
    let dead = Arc::new(AtomicBool::new(false));
    let is_dead = Arc::clone(&dead);
    let server = Quirky::start(move |number, mut session| {
        let is_dead = Arc::clone(&is_dead);
        async move {
            session.welcome().await;
            while session.line().await.is_some() {
                if number < 16 && is_dead.load(Ordering::SeqCst) {
                    return session.silence().await;
                }
                session.send("$2\r\n{}\r\n").await;
            }
        }
    })
    .await;
    let mut config = ApiConfig::new(server.link());
    config.link.max_connections = 20;
    config.link.read_timeout = Duration::from_secs(1);
    config.link.breaker_failures = 1;
    config.link.breaker_open_for = Duration::from_millis(100);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    eventually("all connections are there", Duration::from_secs(20), || async {
        (server.accepted() >= 16).then_some(())
    })
    .await;
    dead.store(true, Ordering::SeqCst);
    let address = api.address();
    let post =
        || async move { http::post(address, "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap() };
    assert_eq!(post().await.status, 504, "the connection is dead");
    let ready =
        || async move { (http::get(address, "/ready").await.unwrap().status == 200).then_some(()) };
    eventually("the circuit closes over a new connection", Duration::from_secs(5), ready).await;
    for _ in 0..20 {
        assert_eq!(post().await.status, 202, "no dead connection is used any more");
    }
}
