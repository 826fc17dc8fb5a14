//! Bad input: each row with its status, code, pointer, and what its detail must say. Nothing of it
//! reaches the work server.

use hyper::Method;
use serde_json::Value;
use testkit::http::{Answer, Client};
use testkit::{TestApi, WorkServer};

/// What is sent, and what must come back: status, code, pointer of the first error (empty: the
/// whole job; `-`: no errors), a part of the detail.
struct Row(&'static str, &'static str, u16, &'static str, &'static str, &'static str);

fn rows() -> Vec<Row> {
    vec![
        // The body itself.
        Row("/jobs", "", 400, "malformed_json", "-", "empty"),
        Row("/jobs", "{", 400, "malformed_json", "-", "line 1, column 1"),
        Row("/jobs", "{\n\"a\": tru }", 400, "malformed_json", "-", "line 2, column"),
        Row("/jobs/add", r#"{"a":NaN,"b":1}"#, 400, "malformed_json", "-", "line 1"),
        Row("/jobs/add", r#"{"a":Infinity,"b":1}"#, 400, "malformed_json", "-", "line 1"),
        Row("/jobs/add", r#"{"a":01,"b":1}"#, 400, "malformed_json", "-", "line 1"),
        Row(
            "/jobs/add",
            r#"{"a":1,"b":2} trailing"#,
            400,
            "malformed_json",
            "-",
            "line 1, column 15",
        ),
        Row(
            "/jobs/add",
            "{\"a\":\"line\nbreak\",\"b\":1}",
            400,
            "malformed_json",
            "-",
            "control character",
        ),
        Row("/jobs/add", "[1,2]", 422, "not_an_object", "", "an object, not an array"),
        Row("/jobs/add", "7", 422, "not_an_object", "", "an object, not a number"),
        // Typed jobs.
        Row("/jobs/add", r#"{"a":1}"#, 422, "missing_field", "/b", "a finite number"),
        Row("/jobs/add", r#"{"a":1,"b":"2"}"#, 422, "invalid_value", "/b", "a finite number"),
        Row("/jobs/add", r#"{"a":1,"b":null}"#, 422, "null_field", "/b", "leave the member out"),
        Row("/jobs/add", r#"{"a":1,"b":2,"b":3}"#, 422, "duplicate_field", "/b", "twice"),
        Row(
            "/jobs/add",
            r#"{"a":1,"b":2,"qeue":"x"}"#,
            422,
            "unknown_field",
            "/qeue",
            "takes a, b, and the options queue",
        ),
        Row(
            "/jobs/add",
            r#"{"a":1,"b":2,"Queue":"x"}"#,
            422,
            "unknown_field",
            "/Queue",
            "is not a member",
        ),
        Row(
            "/jobs/add",
            r#"{"a":1e999,"b":2}"#,
            422,
            "number_not_exact",
            "/a",
            "send it as a string",
        ),
        Row(
            "/jobs/add",
            r#"{"a":9007199254740993,"b":2}"#,
            422,
            "number_not_exact",
            "/a",
            "9007199254740993",
        ),
        Row(
            "/jobs/add",
            r#"{"operation":"add","a":1,"b":2}"#,
            422,
            "unknown_field",
            "/operation",
            "is not a member",
        ),
        Row(
            "/jobs/nope",
            r#"{"a":1}"#,
            422,
            "unknown_operation",
            "-",
            "add, subtract, multiply, divide",
        ),
        // One of two forms.
        Row(
            "/jobs",
            r#"{"a":1,"b":2}"#,
            422,
            "ambiguous_job",
            "",
            "exactly one of operation and jobtype",
        ),
        Row(
            "/jobs",
            r#"{"operation":"add","jobtype":"x","args":[]}"#,
            422,
            "ambiguous_job",
            "",
            "both found",
        ),
        Row(
            "/jobs",
            r#"{"operation":"pow","a":1}"#,
            422,
            "unknown_operation",
            "/operation",
            "add, subtract, multiply, divide",
        ),
        Row("/jobs", r#"{"operation":7}"#, 422, "invalid_value", "/operation", "must be a string"),
        // Raw jobs.
        Row("/jobs", r#"{"jobtype":"x"}"#, 422, "missing_field", "/args", "must be an array"),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":{}}"#,
            422,
            "invalid_value",
            "/args",
            "must be an array",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"","args":[]}"#,
            422,
            "invalid_value",
            "/jobtype",
            "1 to 200 characters",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"a\r\nPUSH","args":[]}"#,
            422,
            "invalid_value",
            "/jobtype",
            "control character",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[18446744073709551617]}"#,
            422,
            "number_not_exact",
            "/args",
            "send it as a string",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[170141183460469231731687303715884105727]}"#,
            422,
            "number_not_exact",
            "/args",
            "send it as a string",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[-1e400]}"#,
            422,
            "number_not_exact",
            "/args",
            "-1e400",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":["\ud83d"]}"#,
            422,
            "lone_surrogate",
            "/args",
            "surrogate",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"a/b":1}"#,
            422,
            "unknown_field",
            "/a~1b",
            "is not a member",
        ),
        // Options.
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"queue":""}"#,
            422,
            "invalid_queue",
            "/queue",
            "1 to 100 characters",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"queue":"a b"}"#,
            422,
            "invalid_queue",
            "/queue",
            "A-Z a-z 0-9 . _ -",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"queue":"a\nb"}"#,
            422,
            "invalid_queue",
            "/queue",
            "A-Z a-z 0-9 . _ -",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"queue":["a"]}"#,
            422,
            "invalid_value",
            "/queue",
            "must be a string",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"job_id":"tooshort"}"#,
            422,
            "invalid_job_id",
            "/job_id",
            "16 to 64 characters",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"job_id":"ümlaut-0123456789"}"#,
            422,
            "invalid_job_id",
            "/job_id",
            "A-Z a-z 0-9 _ -",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"at":"tomorrow"}"#,
            422,
            "invalid_at",
            "/at",
            "RFC 3339",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"at":"2030-01-01T00:00:00"}"#,
            422,
            "invalid_at",
            "/at",
            "with a zone",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"at":"2030-13-01T00:00:00Z"}"#,
            422,
            "invalid_at",
            "/at",
            "RFC 3339",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"at":"2030-01-01T00:00:00Z","delay_ms":1}"#,
            422,
            "invalid_at",
            "/delay_ms",
            "at most one",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"delay_ms":-1}"#,
            422,
            "invalid_value",
            "/delay_ms",
            "0 or more",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"delay_ms":1.5}"#,
            422,
            "invalid_value",
            "/delay_ms",
            "whole number",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"delay_ms":99999999999999999}"#,
            422,
            "invalid_at",
            "/delay_ms",
            "year 9999",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"retry":-2}"#,
            422,
            "invalid_value",
            "/retry",
            "-1 to 100",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"retry":"5"}"#,
            422,
            "invalid_value",
            "/retry",
            "-1 to 100",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"reserve_for":59}"#,
            422,
            "invalid_value",
            "/reserve_for",
            "60 to 86400",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"backtrace":51}"#,
            422,
            "invalid_value",
            "/backtrace",
            "0 to 50",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"custom":[]}"#,
            422,
            "invalid_value",
            "/custom",
            "an object",
        ),
        Row(
            "/jobs",
            r#"{"jobtype":"x","args":[],"custom":{"wf":{"v":1}}}"#,
            422,
            "reserved_field",
            "/custom/wf",
            "Work Factory's own",
        ),
        // Batches.
        Row("/jobs/batch", r#"{"jobs":[]}"#, 422, "empty_batch", "-", "at least one"),
        Row("/jobs/batch", "{}", 422, "missing_field", "/jobs", "an array of jobs"),
        Row("/jobs/batch", r#"{"jobs":null}"#, 422, "null_field", "/jobs", "an array of jobs"),
        Row("/jobs/batch", r#"{"jobs":{}}"#, 422, "invalid_value", "/jobs", "an array of jobs"),
        Row(
            "/jobs/batch",
            r#"{"jobs":[],"job":[]}"#,
            422,
            "unknown_field",
            "/job",
            "an array of jobs",
        ),
        Row(
            "/jobs/batch",
            r#"{"jobs":[1],"jobs":[1]}"#,
            422,
            "duplicate_field",
            "/jobs",
            "an array of jobs",
        ),
        Row(
            "/jobs/batch",
            r#"[{"operation":"add","a":1,"b":2}]"#,
            422,
            "not_an_object",
            "",
            "an array of jobs",
        ),
        Row(
            "/jobs/batch",
            r#"{"jobs":[{"operation":"add","a":1,"b":2},7]}"#,
            422,
            "not_an_object",
            "/jobs/1",
            "not a number",
        ),
        Row(
            "/jobs/batch",
            r#"{"jobs":[{"operation":"add","a":1,"b":2},{"operation":"add","a":1,"b":2,"queue":"a b"}]}"#,
            422,
            "invalid_queue",
            "/jobs/1/queue",
            "1 to 100",
        ),
        Row(
            "/jobs/batch",
            r#"{"jobs":[{"jobtype":"x","args":[],"retry":200},{"jobtype":"x","args":[],"queue":""}]}"#,
            422,
            "invalid_job",
            "/jobs/0/retry",
            "2 faults",
        ),
        Row(
            "/jobs/batch",
            r#"{"jobs":[{"jobtype":"x","args":[],"job_id":"0123456789abcdef"},{"jobtype":"x","args":[],"job_id":"0123456789abcdef"}]}"#,
            422,
            "duplicate_job_id",
            "/jobs/1/job_id",
            "ids must differ",
        ),
        Row(
            "/jobs/batch",
            r#"{"jobs":[1,2,3,4,5,6]}"#,
            413,
            "too_many_jobs",
            "-",
            "API_MAX_BATCH_JOBS",
        ),
        // Paths.
        Row("/nope", "{}", 404, "not_found", "-", "POST /jobs"),
        Row("/health", "{}", 405, "method_not_allowed", "-", "POST is not accepted"),
    ]
}

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
async fn bad_input_is_answered_with_what_is_wrong_where_and_what_is_accepted() {
    let server = WorkServer::broker().await;
    let mut config = api_service::ApiConfig::new(server.link());
    config.max_batch_jobs = 5;
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let rows = rows();
    assert!(rows.len() >= 40);
    let mut client = Client::connect(api.address()).await.unwrap();
    for Row(path, body, status, code, pointer, detail) in rows {
        let answer = client.post(path, body).await.unwrap();
        check(&answer, &format!("{path} {body}"), status, code, pointer, detail);
    }
    assert_eq!(
        server.client().await.info().await.faktory.total_enqueued,
        0,
        "nothing of it was enqueued"
    );
}

#[tokio::test]
async fn bad_bytes_and_headers_are_answered_likewise() {
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
        .send(Method::POST, "/jobs/add", &[json, ("idempotency-key", "x")], r#"{"a":1,"b":2}"#)
        .await
        .unwrap();
    check(&answer, "Idempotency-Key", 400, "idempotency_not_supported", "-", "job_id");

    let answer = client.send(Method::DELETE, "/jobs/add", &[], "").await.unwrap();
    check(&answer, "DELETE", 405, "method_not_allowed", "-", "Allow");
    assert_eq!(answer.headers.get("allow").unwrap(), "POST");

    let answer = client.send(Method::POST, "/jobs/%FF", &[json], "{}").await.unwrap();
    check(&answer, "path no UTF-8", 404, "not_found", "-", "UTF-8");
    assert_eq!(
        server.client().await.info().await.faktory.total_enqueued,
        0,
        "nothing of it was enqueued"
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
