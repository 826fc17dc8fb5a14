//! The shutdown: every request gets an answer.

use std::time::Duration;

use serde_json::Value;
use testkit::{Quirky, TestApi, WorkServer, http};

#[tokio::test]
async fn a_request_in_flight_when_the_time_is_up_is_answered_as_unknown() {
    let (told, mut read) = tokio::sync::mpsc::channel(1);
    let server = Quirky::start(move |_, mut session| {
        let told = told.clone();
        async move {
            session.welcome().await;
            while let Some(line) = session.line().await {
                if line != "PUSHB []" {
                    told.send(()).await.unwrap();
                    return session.silence().await;
                }
                session.send("$2\r\n{}\r\n").await;
            }
        }
    })
    .await;
    let mut config = api_service::ApiConfig::new(server.link());
    config.link.read_timeout = Duration::from_secs(60);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let address = api.address();
    let request =
        tokio::spawn(
            async move { http::post(address, "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap() },
        );
    read.recv().await.unwrap();
    api.stop(Duration::from_millis(200)).await;
    let answer = request.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.body.get("code").and_then(Value::as_str)),
        (504, Some("outcome_unknown"))
    );
}

#[tokio::test]
async fn after_the_shutdown_the_port_and_idle_connections_are_closed() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let address = api.address();
    let mut idle = http::Client::connect(address).await.unwrap();
    assert_eq!(idle.post("/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap().status, 202);
    api.stop(Duration::from_secs(10)).await;
    assert!(http::get(address, "/health").await.is_err());
    assert!(idle.post("/jobs/add", r#"{"a":1,"b":2}"#).await.is_err());
}
