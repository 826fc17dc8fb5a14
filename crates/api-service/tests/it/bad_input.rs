//! Bad input: each row with its status, its code, its pointer, and a part of its detail. No bad
//! input reaches the work server. The rows are in `bad_input/`.

mod batches;
mod bodies;
mod jobs;
mod options;

use hyper::Method;
use serde_json::Value;
use testkit::http::{Answer, Client};
use testkit::{TestApi, WorkServer};

/// A request (path, body) and its answer: status, code, pointer of the first error (empty: the
/// whole job; `-`: no errors), a part of the detail.
#[derive(Clone, Copy)]
struct Row(&'static str, &'static str, u16, &'static str, &'static str, &'static str);

fn check(answer: &Answer, what: &str, status: u16, code: &str, pointer: &str, detail: &str) {
    let body = &answer.body;
    let context = format!("{what}\n{body:#}");
    assert_eq!(answer.status, status, "{context}");
    assert_eq!(
        answer.headers.get("content-type").unwrap(),
        "application/problem+json",
        "{context}"
    );
    assert_eq!(body.get("status").and_then(Value::as_u64), Some(u64::from(status)), "{context}");
    assert_eq!(body.get("code").and_then(Value::as_str), Some(code), "{context}");
    assert_eq!(
        body.get("type").and_then(Value::as_str),
        Some(format!("urn:work-factory:problem:{code}").as_str()),
        "{context}"
    );
    let request_id = body.get("request_id").and_then(Value::as_str).unwrap();
    assert_eq!(answer.headers.get("x-request-id").unwrap(), request_id, "{context}");
    let error = body.pointer("/errors/0");
    assert_eq!(
        error.and_then(|error| error.get("pointer")).and_then(Value::as_str).unwrap_or("-"),
        pointer,
        "{context}"
    );
    let details = [body.get("detail"), error.and_then(|error| error.get("detail"))];
    assert!(
        details.iter().flatten().any(|text| text.as_str().unwrap().contains(detail)),
        "{detail:?} not in {context}"
    );
}

#[tokio::test]
async fn bad_input_is_answered_with_its_fault_the_place_of_it_and_what_is_accepted() {
    let server = WorkServer::broker().await;
    let mut config = api_service::ApiConfig::new(server.link());
    config.api.max_batch_jobs = 5;
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let rows = [bodies::ROWS, jobs::ROWS, options::ROWS, batches::ROWS].concat();
    assert!(rows.len() >= 40);
    let mut client = Client::connect(api.address()).await.unwrap();
    for Row(path, body, status, code, pointer, detail) in rows {
        let answer = client.post(path, body).await.unwrap();
        check(&answer, &format!("{path} {body}"), status, code, pointer, detail);
    }
    assert_eq!(
        server.client().await.info().await.faktory.total_enqueued,
        0,
        "no bad input was enqueued"
    );
}

#[tokio::test]
async fn bad_bytes_and_bad_headers_are_answered_with_their_fault() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut client = Client::connect(api.address()).await.unwrap();
    let json = ("content-type", "application/json");

    let answer = client.post("/jobs/add", b"{\"a\":1,\n\"b\":\"\xFF\"}".as_slice()).await.unwrap();
    check(&answer, "invalid UTF-8", 400, "malformed_json", "-", "line 2, column 6");

    let deep = format!(r#"{{"jobtype":"x","args":{}{}}}"#, "[".repeat(65), "]".repeat(65));
    let answer = client.post("/jobs", deep).await.unwrap();
    check(&answer, "65 levels", 422, "too_deep", "/args", "64 levels");

    let abyss =
        format!(r#"{{"jobtype":"x","args":{}{}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    let answer = client.post("/jobs", abyss).await.unwrap();
    check(&answer, "a million levels", 422, "too_deep", "/args", "64 levels");

    for wrong in [
        "application/x-www-form-urlencoded",
        "text/json",
        "application/json; charset=latin1",
        "application/jsonp",
    ] {
        let answer = client
            .send(Method::POST, "/jobs/add", &[("content-type", wrong)], r#"{"a":1,"b":2}"#)
            .await
            .unwrap();
        check(&answer, wrong, 415, "unsupported_media_type", "-", "content-type: application/json");
    }
    let answer = client.send(Method::POST, "/jobs/add", &[], r#"{"a":1,"b":2}"#).await.unwrap();
    check(
        &answer,
        "no content type",
        415,
        "unsupported_media_type",
        "-",
        "content-type: application/json",
    );

    let answer = client
        .send(Method::POST, "/jobs/add", &[json, ("idempotency-key", "\"x")], r#"{"a":1,"b":2}"#)
        .await
        .unwrap();
    check(&answer, "Idempotency-Key", 400, "invalid_idempotency_key", "-", "255 visible");

    let answer = client.send(Method::DELETE, "/jobs/add", &[], "").await.unwrap();
    check(&answer, "DELETE", 405, "method_not_allowed", "-", "Allow");
    assert_eq!(answer.headers.get("allow").unwrap(), "POST");

    let answer = client.send(Method::POST, "/jobs/%FF", &[json], "{}").await.unwrap();
    check(&answer, "a path that is not UTF-8", 404, "not_found", "-", "UTF-8");
    assert_eq!(
        server.client().await.info().await.faktory.total_enqueued,
        0,
        "no bad input was enqueued"
    );
}

#[tokio::test]
async fn line_breaks_inside_strings_never_become_a_second_protocol_line() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut client = Client::connect(api.address()).await.unwrap();
    let body = "{\"jobtype\":\"x\",\r\n\"args\":[\"a\\r\\nPUSH \
                {\\\"jid\\\":\\\"job-smuggled\\\"}\\r\\n\"\r\n,\n1],\"custom\":{\n\"k\":\"\\n\"}}";
    let answer = client.post("/jobs", body).await.unwrap();
    assert_eq!(answer.status, 202, "{:#}", answer.body);
    let mut wire = server.client().await;
    let job = wire.fetch("default").await.unwrap();
    assert_eq!(job.args_json(), "[\"a\\r\\nPUSH {\\\"jid\\\":\\\"job-smuggled\\\"}\\r\\n\",1]");
    assert_eq!(wire.info().await.faktory.total_enqueued, 0);
}
