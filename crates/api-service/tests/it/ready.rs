//! `/ready`: whether jobs would be stored.

use std::time::Duration;

use api_service::ApiConfig;
use faktory_link::LinkConfig;
use testkit::{Quirky, TestApi, eventually, http};

#[tokio::test]
async fn not_ready_before_the_first_success_and_ready_after_it() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let api =
        TestApi::start_with(ApiConfig::new(LinkConfig::new("127.0.0.1", address.port()))).await;
    assert_eq!(http::get(api.address(), "/health").await.unwrap().status, 200);
    let answer = http::get(api.address(), "/ready").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.body.get("code").unwrap().as_str()),
        (503, Some("work_server_unreachable"))
    );

    let folder = tempfile::tempdir().unwrap();
    let broker = faktory_broker::Broker::start(faktory_broker::BrokerConfig::new(
        address,
        folder.path().to_owned(),
    ))
    .await
    .unwrap();
    api.ready().await;
    broker.stop().await.unwrap();
}

#[tokio::test]
async fn not_ready_while_the_latest_push_was_refused() {
    // Like a Faktory whose Redis can't save: an empty push succeeds, a job is refused.
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            let refuse = line != "PUSHB []" && !line.contains("job-that-is-taken");
            session.send(if refuse { "-ERR MISCONF can't save\r\n" } else { "$2\r\n{}\r\n" }).await;
        }
    })
    .await;
    let api = TestApi::start(server.link()).await;
    let address = api.address();
    assert_eq!(http::post(address, "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap().status, 503);
    let answer = http::get(address, "/ready").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.body.get("code").unwrap().as_str()),
        (503, Some("work_server_refusing"))
    );
    assert_eq!(
        http::post(address, "/jobs/add", r#"{"a":1,"b":2,"job_id":"job-that-is-taken"}"#)
            .await
            .unwrap()
            .status,
        202
    );
    eventually("ready again", Duration::from_secs(5), || async move {
        (http::get(address, "/ready").await.unwrap().status == 200).then_some(())
    })
    .await;
}
