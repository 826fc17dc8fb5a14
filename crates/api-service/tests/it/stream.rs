//! Streams: one job a line in the request, one result a line in the answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api_service::ApiConfig;
use serde_json::{Value, json};
use testkit::{Quirky, TestApi, WorkServer, WorkServerKind, eventually};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A stream in progress. HTTP/1.0, because its answer has no chunks: the lines end with the
/// connection.
struct Stream {
    stream: BufReader<TcpStream>,
}

impl Stream {
    /// Begins a request whose body has so many bytes.
    async fn begin(api: &TestApi, bytes: usize) -> Self {
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        let head = format!(
            "POST /jobs/stream HTTP/1.0\r\nhost: localhost\r\ncontent-type: \
             application/x-ndjson\r\ncontent-length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self { stream: BufReader::new(stream) }
    }

    async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read =
            tokio::time::timeout(Duration::from_secs(30), self.stream.read_line(&mut line)).await;
        (read.unwrap().unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    /// Reads the head of the answer.
    async fn head(&mut self) -> String {
        let status = self.line().await.unwrap();
        while !self.line().await.unwrap().is_empty() {}
        status
    }

    async fn result(&mut self) -> Option<Value> {
        self.line().await.map(|line| serde_json::from_str(&line).unwrap())
    }

    /// All results, by line.
    async fn results(&mut self) -> Vec<Value> {
        let mut results = Vec::new();
        while let Some(result) = self.result().await {
            results.push(result);
        }
        results.sort_by_key(|result| result.get("line").and_then(Value::as_u64));
        results
    }
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

pub(crate) async fn post(api: &TestApi, body: &str) -> Vec<Value> {
    let mut stream = Stream::begin(api, body.len()).await;
    stream.send(body).await;
    assert_eq!(stream.head().await, "HTTP/1.0 200 OK");
    stream.results().await
}

#[tokio::test]
async fn every_line_has_its_own_result_and_a_bad_line_harms_no_other() {
    for kind in WorkServerKind::all() {
        let server = WorkServer::start(kind).await;
        let mut config = ApiConfig::new(server.link());
        config.api.max_body_bytes = 1000;
        let api = TestApi::start_with(config).await;
        api.ready().await;
        let long = format!("{{\"jobtype\":\"x\",\"args\":[\"{}\"]}}", "a".repeat(1000));
        let body = [
            r#"{"operation":"add","a":1,"b":2}"#,
            "",
            r#"{"operation":"add","a":1}"#,
            "not json",
            &long,
            r#"{"jobtype":"x","args":[],"job_id":"the-same-id-of-mine"}"#,
            r#"{"jobtype":"x","args":[],"job_id":"the-same-id-of-mine"}"#,
            "\r",
            r#"{"jobtype":"x","args":[{"b":1}]}"#,
        ]
        .join("\n");
        let results = post(&api, &body).await;
        let seen: Vec<_> = results
            .iter()
            .map(|result| {
                (at(result, "/line").as_u64().unwrap(), at(result, "/error/code").as_str())
            })
            .collect();
        let expected = [
            (1, None),
            (3, Some("missing_field")),
            (4, Some("malformed_json")),
            (5, Some("body_too_large")),
            (6, None),
            (7, None),
            (9, None),
        ];
        assert_eq!(seen, expected, "{kind:?}");
        let faulty = results.iter().find(|result| at(result, "/line") == 3).unwrap();
        assert_eq!(
            (
                at(faulty, "/error/outcome"),
                at(faulty, "/error/errors/0/pointer"),
                at(faulty, "/error/status")
            ),
            (&json!("not_sent"), &json!("/b"), &json!(422))
        );
        // Two lines have one id: Faktory stores both, the broker one of them.
        let stored = if kind == WorkServerKind::Broker { 3 } else { 4 };
        assert_eq!(server.client().await.info().await.faktory.total_enqueued, stored, "{kind:?}");
    }
}

#[tokio::test]
async fn a_line_with_more_bytes_than_a_job_may_have_gets_a_result_that_names_the_variable() {
    let server = WorkServer::broker().await;
    let mut config = ApiConfig::new(server.link());
    config.api.max_job_bytes = Some(1000);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    let job =
        |bytes: usize| format!("{{\"jobtype\":\"x\",\"args\":[\"{}\"]}}", "a".repeat(bytes - 27));
    let results = post(&api, &[job(1000), job(1001), job(500_000), job(27)].join("\n")).await;
    let code = |result: &Value| at(result, "/error/code").as_str().map(str::to_owned);
    let large = Some("job_too_large".to_owned());
    assert_eq!(results.iter().map(code).collect::<Vec<_>>(), [None, large.clone(), large, None]);
    let detail = at(results.get(1).unwrap(), "/error/detail").as_str().unwrap();
    assert!(detail.contains("API_MAX_JOB_BYTES") && detail.contains("1000"), "{detail}");
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 2);
}

#[tokio::test]
async fn results_arrive_before_the_request_has_ended() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let job = "{\"operation\":\"add\",\"a\":1,\"b\":2}\n";
    let mut stream = Stream::begin(&api, 3 * job.len()).await;
    let mut ids = HashSet::new();
    for number in 1..=3 {
        stream.send(job).await;
        if number == 1 {
            assert_eq!(stream.head().await, "HTTP/1.0 200 OK");
        }
        let result = stream.result().await.unwrap();
        assert_eq!(at(&result, "/line"), number);
        ids.insert(at(&result, "/job_id").as_str().unwrap().to_owned());
    }
    assert_eq!(stream.result().await, None);
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn every_job_of_a_long_stream_is_stored_once() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let body: String = (0..30_000)
        .map(|number| format!("{{\"operation\":\"add\",\"a\":{number},\"b\":1}}\n"))
        .collect();
    let stream = Stream::begin(&api, body.len()).await;
    let (read, mut write) = stream.stream.into_inner().into_split();
    let writing =
        tokio::spawn(async move { write.write_all(body.as_bytes()).await.map(|()| write) });
    let mut text = String::new();
    BufReader::new(read).read_to_string(&mut text).await.unwrap();
    writing.await.unwrap().unwrap();
    let (_, results) = text.split_once("\r\n\r\n").unwrap();
    let lines: HashSet<u64> = results
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|result| at(result, "/job_id").is_string())
        .map(|result| at(&result, "/line").as_u64().unwrap())
        .collect();
    assert_eq!(lines.len(), 30_000);
    assert_eq!(server.client().await.info().await.faktory.total_enqueued, 30_000);
}

#[tokio::test]
async fn after_a_stream_was_cut_its_answered_jobs_are_stored_and_others_are_served() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut stream = Stream::begin(&api, 1_000_000).await;
    stream.send("{\"operation\":\"add\",\"a\":1,\"b\":2}\n{\"operation\":\"add\",\"a\":").await;
    stream.head().await;
    assert!(at(&stream.result().await.unwrap(), "/job_id").is_string());
    drop(stream);
    assert_eq!(post(&api, "{\"operation\":\"add\",\"a\":1,\"b\":2}").await.len(), 1);
    assert_eq!(
        server.client().await.info().await.faktory.total_enqueued,
        2,
        "the half line is no job"
    );
}

/// Sends lines until the API reads no more. Returns the number of lines, the last one included, and
/// the part of the last line that is still to be sent.
async fn send_until_held_back(stream: &mut Stream, line: &str, most: usize) -> (usize, String) {
    let chunk = line.repeat(100);
    let mut sent = 0;
    while sent < most {
        let from = sent % chunk.len();
        let rest = chunk.as_bytes().get(from..).unwrap();
        match tokio::time::timeout(Duration::from_secs(1), stream.stream.get_mut().write(rest))
            .await
        {
            Ok(result) => sent += result.unwrap(),
            Err(_) => break,
        }
    }
    assert!(sent < most, "all of {sent} bytes was taken");
    let rest =
        if sent.is_multiple_of(line.len()) { "" } else { line.get(sent % line.len()..).unwrap() };
    (sent.div_ceil(line.len()), rest.to_owned())
}

#[tokio::test]
async fn a_stream_whose_jobs_get_no_outcome_is_held_back() {
    // The server gives no reply to pushes of jobs.
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            if line != "PUSHB []" {
                return session.silence().await;
            }
            session.send("$2\r\n{}\r\n").await;
        }
    })
    .await;
    let api = TestApi::start_with(ApiConfig::new(server.link())).await;
    api.ready().await;
    let mut stream = Stream::begin(&api, 1 << 30).await;
    let line = format!("{{\"jobtype\":\"x\",\"args\":[\"{}\"]}}\n", "a".repeat(1000));
    send_until_held_back(&mut stream, &line, 100 << 20).await;
}

#[tokio::test]
async fn a_client_that_reads_no_results_is_held_back_and_loses_none() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let mut stream = Stream::begin(&api, 1 << 30).await;
    // Bad lines, whose results are longer than the lines.
    let (lines, rest) =
        send_until_held_back(&mut stream, "{\"operation\":\"add\",\"a\":1}\n", 100 << 20).await;
    // Other clients are served meanwhile.
    assert_eq!(post(&api, "{\"operation\":\"add\",\"a\":1,\"b\":2}").await.len(), 1);
    let (read, mut write) = stream.stream.into_inner().into_split();
    let sending = tokio::spawn(async move {
        write.write_all(rest.as_bytes()).await.unwrap();
        // The body ends before its announced length: the last result tells that it broke off.
        write.shutdown().await.unwrap();
        write
    });
    let mut text = String::new();
    BufReader::new(read).read_to_string(&mut text).await.unwrap();
    sending.await.unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| at(&serde_json::from_str(line).ok()?, "/line").as_u64())
        .collect();
    assert_eq!(numbers.len(), lines);
    assert!(
        numbers.iter().zip(1..).all(|(number, expected)| *number == expected),
        "each line once, and bad ones in their order"
    );
}

#[tokio::test]
async fn a_stream_waits_while_the_circuit_is_open() {
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
    config.link.breaker_failures = 1;
    config.link.breaker_open_for = Duration::from_millis(100);
    let api = TestApi::start_with(config).await;
    api.ready().await;
    broken.store(true, Ordering::SeqCst);
    let post = || async {
        testkit::http::post(api.address(), "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap()
    };
    // The circuit stays open, because probes fail too.
    eventually("the circuit opens", Duration::from_secs(20), || async {
        (at(&post().await.body, "/code") == "circuit_open").then_some(())
    })
    .await;
    let line = "{\"operation\":\"add\",\"a\":1,\"b\":2}\n";
    let mut stream = Stream::begin(&api, line.len()).await;
    stream.send(line).await;
    assert_eq!(stream.head().await, "HTTP/1.0 200 OK");
    let early = tokio::time::timeout(Duration::from_millis(300), stream.line()).await;
    assert!(early.is_err(), "answered while the circuit was open: {early:?}");
    broken.store(false, Ordering::SeqCst);
    let result = stream.result().await.unwrap();
    assert!(at(&result, "/job_id").is_string(), "{result}");
}

#[tokio::test]
async fn the_result_of_a_line_tells_the_true_outcome() {
    let server = Quirky::start(|_, mut session| async move {
        session.welcome().await;
        while let Some(line) = session.line().await {
            let reply = if line.contains("job-refused-000000") {
                "{\"job-refused-000000\":\"jobs must have a jobtype parameter\"}"
            } else if line.contains("job-unknown-000000") {
                "{\"job-unknown-000000\":\"context deadline exceeded\"}"
            } else {
                "{}"
            };
            session.send(&format!("${}\r\n{reply}\r\n", reply.len())).await;
        }
    })
    .await;
    let api = TestApi::start_with(ApiConfig::new(server.link())).await;
    api.ready().await;
    for (id, outcome, code) in [
        ("job-refused-000000", "refused", "refused_by_work_server"),
        ("job-unknown-000000", "unknown", "outcome_unknown"),
    ] {
        let results =
            post(&api, &format!("{{\"jobtype\":\"x\",\"args\":[],\"job_id\":\"{id}\"}}\n")).await;
        let error = at(results.first().unwrap(), "/error");
        assert_eq!(
            (at(error, "/outcome"), at(error, "/code"), at(error, "/job_id")),
            (&json!(outcome), &json!(code), &json!(id))
        );
    }
}

#[tokio::test]
async fn a_shutdown_ends_a_stream_after_the_lines_that_were_read() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let mut stream = Stream::begin(&api, 1_000_000).await;
    stream.send("{\"operation\":\"add\",\"a\":1,\"b\":2}\n").await;
    stream.head().await;
    assert!(at(&stream.result().await.unwrap(), "/job_id").is_string());
    let stop = tokio::spawn(api.stop(Duration::from_secs(20)));
    assert_eq!(at(&stream.result().await.unwrap(), "/error/code"), "shutting_down");
    assert_eq!(stream.result().await, None);
    drop(stream);
    tokio::time::timeout(Duration::from_secs(15), stop).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_stream_must_be_announced_as_json_lines() {
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    let answer = testkit::http::post(api.address(), "/jobs/stream", "{}").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), at(&answer.body, "/code")),
        (415, &json!("unsupported_media_type"))
    );
    assert!(at(&answer.body, "/detail").as_str().unwrap().contains("application/x-ndjson"));
    eventually("the API lives", Duration::from_secs(5), || async { Some(()) }).await;
}
