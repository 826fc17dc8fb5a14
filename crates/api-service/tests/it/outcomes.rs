//! The answer tells the true outcome of a job: stored, refused, not sent, or unknown.

use std::time::Duration;

use api_service::ApiConfig;
use faktory_link::LinkConfig;
use serde_json::{Value, json};
use testkit::http::{Answer, post};
use testkit::{Quirky, TestApi, eventually};

/// An API with a scripted work server that answers pushes of jobs with this text (an empty one: not
/// at all), and the empty pushes of probes with success.
async fn api_with(reply: &'static str) -> (TestApi, Quirky) {
    let server = Quirky::start(move |_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            if line == "PUSHB []" {
                session.send("$2\r\n{}\r\n").await;
            } else if reply.is_empty() {
                return session.silence().await;
            } else if reply == "reset" {
                return session.reset();
            } else {
                session.send(reply).await;
            }
        }
    })
    .await;
    let mut config = ApiConfig::new(server.link());
    // Short only where nothing but the deadline ends the request.
    config.api.request_timeout = Duration::from_secs(if reply.is_empty() { 1 } else { 20 });
    let api = TestApi::start_with(config).await;
    api.ready().await;
    (api, server)
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.body.get("code").and_then(Value::as_str).unwrap_or("-"))
}

const JOB: &str = r#"{"a":1,"b":2,"job_id":"the-callers-own-id"}"#;
const BATCH: &str = r#"{"jobs":[
    {"operation":"add","a":1,"b":2,"job_id":"job-of-a-batch-0"},
    {"operation":"add","a":1,"b":2,"job_id":"job-of-a-batch-1"}]}"#;

#[tokio::test]
async fn each_outcome_has_its_status_and_its_answer_names_the_job() {
    for (reply, status, expected) in [
        ("-ERR MISCONF Redis can't save\r\n", 503, "work_server_refusing"),
        ("-ERR shutdown in progress\r\n", 503, "work_server_refusing"),
        ("-ERR context deadline exceeded\r\n", 504, "outcome_unknown"),
        ("-ERR invalid JSON: x\r\n", 422, "refused_by_work_server"),
        ("reset", 504, "outcome_unknown"),
        ("", 504, "outcome_unknown"),
    ] {
        let (api, _server) = api_with(reply).await;
        let answer = post(api.address(), "/jobs/add", JOB).await.unwrap();
        assert_eq!(code(&answer), (status, expected), "{reply}: {:#}", answer.body);
        assert_eq!(answer.body.get("job_id"), Some(&json!("the-callers-own-id")), "{reply}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503, "{reply}");
    }
}

#[tokio::test]
async fn a_batch_says_which_jobs_are_stored_and_which_are_not() {
    let (api, _server) =
        api_with("$55\r\n{\"job-of-a-batch-1\":\"jobs must have an args parameter\"}\r\n").await;
    let answer = post(api.address(), "/jobs/batch", BATCH).await.unwrap();
    assert_eq!(answer.status, 207);
    assert_eq!(
        answer.body,
        json!({
            "job_ids": ["job-of-a-batch-0", "job-of-a-batch-1"],
            "count": 1,
            "rejected": [{
                "index": 1,
                "job_id": "job-of-a-batch-1",
                "code": "refused_by_work_server",
                "detail": "jobs must have an args parameter",
            }],
        })
    );

    let (api, _server) = api_with("").await;
    let answer = post(api.address(), "/jobs/batch", BATCH).await.unwrap();
    assert_eq!(code(&answer), (504, "outcome_unknown"));
    assert_eq!(
        (answer.body.get("unknown"), answer.body.get("count")),
        (Some(&json!([0, 1])), Some(&json!(0)))
    );
    assert_eq!(answer.body.get("job_ids"), Some(&json!(["job-of-a-batch-0", "job-of-a-batch-1"])));
}

#[tokio::test]
async fn without_a_work_server_nothing_is_sent_and_the_answer_says_so() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let api =
        TestApi::start_with(ApiConfig::new(LinkConfig::new("127.0.0.1", address.port()))).await;
    let answer = post(api.address(), "/jobs/add", JOB).await.unwrap();
    assert_eq!(code(&answer), (503, "work_server_unreachable"));
    assert!(answer.headers.contains_key("retry-after"));
    let answer = post(api.address(), "/jobs/batch", BATCH).await.unwrap();
    assert_eq!(code(&answer), (503, "work_server_unreachable"));
    assert_eq!(
        (answer.body.get("not_sent"), answer.body.get("count")),
        (Some(&json!([0, 1])), Some(&json!(0)))
    );
}

#[tokio::test]
async fn a_request_ends_by_its_deadline_whatever_the_work_server_does() {
    // The server accepts connections and never greets.
    let server = Quirky::start(|_, mut session| async move { session.silence().await }).await;
    let mut config =
        ApiConfig::new(LinkConfig { connect_timeout: Duration::from_secs(60), ..server.link() });
    config.api.request_timeout = Duration::from_millis(300);
    let api = TestApi::start_with(config).await;
    let answer =
        tokio::time::timeout(Duration::from_secs(20), post(api.address(), "/jobs/add", JOB))
            .await
            .unwrap()
            .unwrap();
    assert_eq!(code(&answer), (503, "work_server_unreachable"));
}

#[tokio::test]
async fn the_api_recovers_by_itself_when_the_work_server_comes_back() {
    let mut server = testkit::WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    assert_eq!(post(api.address(), "/jobs/add", JOB).await.unwrap().status, 202);
    server.stop().await;
    let address = api.address();
    eventually("the API notices", Duration::from_secs(20), || async move {
        (post(address, "/jobs/add", JOB).await.unwrap().status == 503).then_some(())
    })
    .await;
    server.run().await;
    eventually("the API recovers", Duration::from_secs(20), || async move {
        (post(address, "/jobs/add", JOB).await.unwrap().status == 202).then_some(())
    })
    .await;
}
