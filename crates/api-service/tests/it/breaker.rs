//! A work server that fails again and again is left alone, and taken back by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api_service::ApiConfig;
use serde_json::Value;
use testkit::{Quirky, TestApi, eventually, http};

#[tokio::test]
async fn the_circuit_opens_says_so_and_closes_by_itself() {
    // While broken, every connection ends at its first push of a job, and probes get no answer.
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
    let post = || async move { http::post(address, "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap() };
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
    assert!(matches!(ready.body.get("circuit").and_then(Value::as_str), Some("open" | "half_open")), "{}", ready.body);
    broken.store(false, Ordering::SeqCst);
    eventually("the circuit closes", Duration::from_secs(20), || async move { (post().await.status == 202).then_some(()) }).await;
    let ready = http::get(address, "/ready").await.unwrap();
    assert_eq!((ready.status.as_u16(), ready.body.get("circuit").and_then(Value::as_str)), (200, Some("closed")));
}
