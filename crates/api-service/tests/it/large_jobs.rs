//! Jobs that are larger than what a work server takes, and lines that are larger than a body.

use api_service::ApiConfig;
use faktory_wire::{Command, Timestamp};
use job_types::{Element, Form, Registry};
use serde_json::Value;
use service_runtime::{ApiSettings, JOB_BYTES_MAX};
use testkit::{TestApi, WorkServer, http};

use crate::stream;

async fn api(change: impl FnOnce(&mut ApiSettings)) -> (TestApi, WorkServer) {
    let server = WorkServer::broker().await;
    let api = TestApi::start_with(ApiConfig::new(server.link()).with(change)).await;
    api.ready().await;
    (api, server)
}

/// A job of exactly so many bytes.
fn job(bytes: usize) -> String {
    format!("{{\"jobtype\":\"x\",\"args\":[\"{}\"]}}", "a".repeat(bytes - 27))
}

/// The codes of the results of a stream, by line.
async fn stream_codes(api: &TestApi, lines: &[String]) -> Vec<Option<String>> {
    let results = stream::post(api, &lines.join("\n")).await;
    let code = |result: &Value| {
        let code = result.pointer("/error/code")?;
        code.as_str().map(str::to_owned)
    };
    results.iter().map(code).collect()
}

#[tokio::test]
async fn a_job_that_no_work_servers_line_takes_is_refused_whatever_a_body_may_have() {
    let (api, _server) = api(|api| api.max_body_bytes = 200 << 20).await;
    let large = job(JOB_BYTES_MAX + 1);
    let single = http::post(api.address(), "/jobs", large).await.unwrap();
    let code = single.body.get("code").and_then(Value::as_str);
    assert_eq!((single.status.as_u16(), code), (422, Some("job_too_large")));
    assert!(single.body.to_string().contains("a work server takes no more"));
}

#[test]
fn a_line_of_a_work_server_takes_the_largest_job_with_what_is_added_to_it() {
    let text = job(1 << 20);
    let element: Element<'_> = serde_json::from_str(&text).unwrap();
    let registry = Registry::new();
    let job =
        job_types::validate_job(&registry, &element, Form::Members, Timestamp::now()).unwrap();
    let line = Command::PushBulk(vec![job.into_wire()]).to_line();
    assert!(line.len() - text.len() < (64 << 20) - JOB_BYTES_MAX, "{}", line.len());
}

#[tokio::test]
async fn a_line_may_have_as_many_bytes_as_a_job_also_where_a_body_may_not() {
    let (api, _server) = api(|api| {
        (api.max_body_bytes, api.max_job_bytes) = (1000, Some(2000));
    })
    .await;
    let codes = stream_codes(&api, &[job(2000), job(2001)]).await;
    assert_eq!(codes, [None, Some("job_too_large".to_owned())]);
    let alone = http::post(api.address(), "/jobs", job(2000)).await.unwrap();
    assert_eq!(alone.status, 413);
}
