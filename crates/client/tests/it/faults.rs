//! The client against scripted HTTP servers: which jobs are sent again, and which never are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{Client, JobOutcome, NewJob, PostError, Problem};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that gives these answers, one to each request, and the last one to all further
/// requests; an empty answer closes the connection. Returns a client of it, and the number of
/// requests.
async fn scripted(answers: Vec<String>) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder(&format!("http://{}", listener.local_addr().unwrap()))
        .timeout(Duration::from_secs(20))
        .attempts(3)
        .build()
        .unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !complete(&seen) {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                if read == 0 {
                    break;
                }
                seen.extend_from_slice(&buffer[..read]);
            }
            if seen.is_empty() {
                continue;
            }
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let answer = answers.get(number).or(answers.last()).unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (client, requests)
}

pub(crate) fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    body.len() >= length
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// The API's refusal of a key.
fn no_keys() -> String {
    answer(400, "", r#"{"status":400,"code":"idempotency_not_supported","detail":"no keys"}"#)
}

fn job() -> NewJob {
    NewJob::raw("mail", &[1]).unwrap()
}

#[tokio::test]
async fn a_temporary_refusal_is_retried_up_to_the_number_of_attempts() {
    for code in ["overloaded", "too_many_connections"] {
        let problem = format!(r#"{{"status":503,"code":"{code}","detail":"too much"}}"#);
        let busy = answer(503, "retry-after: 0\r\n", &problem);
        let (client, requests) =
            scripted(vec![busy.clone(), busy.clone(), answer(202, "", r#"{"job_id":"x"}"#)]).await;
        assert_eq!(client.post(&job()).await.unwrap(), "x");
        assert_eq!(requests.load(Ordering::SeqCst), 3);
        let (client, requests) = scripted(vec![busy]).await;
        assert_eq!(client.post(&job()).await, Err(PostError::NotStored("too much".into())));
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn without_a_key_an_unknown_outcome_is_never_sent_again() {
    let gone = String::new();
    let unknown = answer(
        504,
        "",
        r#"{"status":504,"code":"outcome_unknown","detail":"no reply","job_id":"j1"}"#,
    );
    let broken = "HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n{".to_owned();
    let nonsense = answer(202, "", "<html>");
    // Answers of a gateway, which may have passed the request on.
    let gateway = answer(503, "retry-after: 0\r\n", "<html>upstream reset</html>");
    let foreign = answer(503, "retry-after: 0\r\n", r#"{"error":"upstream reset"}"#);
    let limited = answer(429, "retry-after: 0\r\n", "slow down");
    for (script, id) in [
        (gateway, None),
        (foreign, None),
        (limited, None),
        (gone, None),
        (unknown, Some("j1")),
        (broken, None),
        (nonsense, None),
        (answer(500, "", "oh"), None),
    ] {
        // The API takes no keys.
        let (client, requests) = scripted(vec![no_keys(), script.clone()]).await;
        let Err(PostError::Unknown { job_id, .. }) = client.post(&job()).await else {
            unreachable!("{script}")
        };
        assert_eq!(job_id.as_deref(), id);
        let outcomes = client.post_batch(&[job(), job()]).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, JobOutcome::Failed(PostError::Unknown { .. }))),
            "{script} {outcomes:?}"
        );
        assert_eq!(requests.load(Ordering::SeqCst), 3, "{script}");
    }
}

#[tokio::test]
async fn of_a_batch_only_jobs_that_were_not_sent_are_sent_again() {
    let some = r#"{"job_ids":["a","b","c","d"],"count":1,
        "rejected":[{"index":1,"job_id":"b","code":"refused_by_work_server","detail":"no"}],
        "unknown":[2],"not_sent":[3]}"#;
    let (client, requests) =
        scripted(vec![no_keys(), answer(207, "", some), answer(202, "", r#"{"job_ids":["e"]}"#)])
            .await;
    let outcomes = client.post_batch(&[job(), job(), job(), job()]).await;
    assert_eq!(outcomes[0], JobOutcome::Stored { job_id: "a".into() });
    let JobOutcome::Failed(PostError::Refused(problem)) = &outcomes[1] else {
        unreachable!("{outcomes:?}")
    };
    assert_eq!(problem.detail, "no");
    let JobOutcome::Failed(PostError::Unknown { job_id, .. }) = &outcomes[2] else {
        unreachable!("{outcomes:?}")
    };
    assert_eq!(job_id.as_deref(), Some("c"));
    assert_eq!(outcomes[3], JobOutcome::Stored { job_id: "e".into() });
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn job_ids_in_the_answer_of_a_failure_do_not_mean_stored() {
    let body = r#"{"status":500,"code":"odd","detail":"odd","job_ids":["a","b"]}"#;
    let (client, requests) = scripted(vec![answer(500, "", body)]).await;
    for outcome in client.post_batch(&[job(), job()]).await {
        assert!(
            matches!(outcome, JobOutcome::Failed(PostError::Unknown { job_id: Some(_), .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_server_the_outcome_is_not_stored() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::builder(&format!("http://{port}")).attempts(2).build().unwrap();
    assert!(matches!(client.post(&job()).await, Err(PostError::NotStored(_))));
    assert!(matches!(
        &client.post_batch(&[job()]).await[0],
        JobOutcome::Failed(PostError::NotStored(_))
    ));
}

#[tokio::test]
async fn a_stream_that_is_refused_as_a_whole_is_reported_by_the_rules_of_single_jobs() {
    let busy = r#"{"status":503,"code":"overloaded","detail":"too many streams"}"#;
    let no_key = r#"{"status":401,"code":"key_missing","detail":"no key"}"#;
    let unknown = |detail: &str| PostError::Unknown { job_id: None, detail: detail.into() };
    let refused = |status, code: &str, detail: &str| {
        let (code, detail) = (code.into(), detail.into());
        PostError::Refused(Problem { status, code, detail, ..Problem::default() })
    };
    for (status, body, expected) in [
        (503, busy, PostError::NotStored("too many streams".into())),
        (401, no_key, refused(401, "key_missing", "no key")),
        // Answers of a gateway.
        (403, "<html>blocked</html>", refused(403, "http_403", "<html>blocked</html>")),
        (
            503,
            "<html>upstream reset</html>",
            unknown("the answer was 503: <html>upstream reset</html>"),
        ),
        (429, "slow down", unknown("the answer was 429: slow down")),
        (500, "oh", unknown("the answer was 500: oh")),
    ] {
        let (client, requests) = scripted(vec![answer(status, "", body)]).await;
        let error = client.post_stream(stream::empty()).await.unwrap_err();
        assert_eq!(error, expected, "{status} {body}");
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn a_request_without_an_answer_ends_as_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::builder(&format!("http://{}", listener.local_addr().unwrap()))
        .timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    assert!(matches!(client.post(&job()).await, Err(PostError::Unknown { .. })));
}

#[test]
fn an_address_that_is_not_a_url_of_an_api_is_refused() {
    for address in ["127.0.0.1:3000", "ftp://x", "http://", "ftp://x", "nonsense"] {
        let error = Client::new(address).unwrap_err().to_string();
        assert!(error.contains("http://host:port"), "{error}");
    }
}
