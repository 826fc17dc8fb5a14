//! Bodies within their bounds.

use std::sync::{Arc, Mutex};

use axum::http::HeaderValue;
use axum::response::IntoResponse;

use super::*;
use crate::problem::LeaveBodyUnread;

#[test]
fn no_job_may_be_larger_than_what_a_work_server_takes() {
    let sizes = |body, job| {
        let limits = BodyLimits::new(body, job, Duration::from_secs(10));
        (limits.max_bytes, limits.max_job_bytes, limits.max_line_bytes)
    };
    let (large, most) = (200 << 20, JOB_BYTES_MAX);
    assert_eq!(sizes(large, None), (large, most, most));
    assert_eq!(sizes(large, Some(large)), (large, most, most));
    assert_eq!(sizes(1000, Some(large)), (1000, 1000, most));
    assert_eq!(sizes(1000, None), (1000, 1000, 1000));
}

#[tokio::test]
async fn a_body_takes_a_share_of_the_memory_for_all_that_it_has_allocated() {
    let limits = BodyLimits::new(16 << 20, None, Duration::from_secs(10));
    let pieces = (0..100).map(|_| Ok::<_, axum::Error>(vec![b'a'; 10_000]));
    let request = Request::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from_stream(futures_util::stream::iter(pieces)))
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let threads = SlowThreads::start();
    let whole = read_json(&limits, Holds::Job, request, deadline, &threads).await.ok().unwrap();
    assert_eq!(whole.len(), 1_000_000);
    let allocated = whole.blocks.allocated_with(0);
    assert!(allocated >= 1_000_000);
    assert!(limits.budget.try_share(BUDGET_BYTES - allocated + 2048).is_none(), "{allocated}");
    let text = whole.into_text().ok().unwrap();
    assert!(text.as_str() == "a".repeat(1_000_000));
    assert!(limits.budget.try_share(BUDGET_BYTES - allocated + 2048).is_none(), "{allocated}");
}

#[tokio::test(start_paused = true)]
async fn where_the_memory_is_used_up_in_mid_body_the_rest_is_drained_and_the_connection_closed() {
    let mut limits = BodyLimits::new(4 * FIRST_SHARE, None, Duration::from_secs(10));
    limits.budget = Budget::new(2 * FIRST_SHARE);
    let other = limits.budget.try_share(FIRST_SHARE).unwrap();
    let request = Request::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(vec![b'a'; 2 * FIRST_SHARE]))
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let read = read_json(&limits, Holds::Job, request, deadline, &SlowThreads::start()).await;
    let refused = read.err().unwrap().into_response();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers().get(header::CONNECTION), Some(&HeaderValue::from_static("close")));
    assert!(refused.extensions().get::<LeaveBodyUnread>().is_none());
    drop(other);
}

/// A request whose body is gzip of a job.
fn gzip_job(body: Body) -> Request {
    Request::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(body)
        .unwrap()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_idle_while_its_body_waits_for_its_turn_to_be_decoded() {
    let limits = BodyLimits::new(16 << 20, None, Duration::from_secs(10));
    let threads = SlowThreads::start();
    // Other bodies have all threads for decoding, until the end of this test.
    let (began, begins) = std::sync::mpsc::channel();
    let (_held, hold) = std::sync::mpsc::channel::<()>();
    let hold = Arc::new(Mutex::new(hold));
    for _ in 0..crate::slow_threads::at_a_time() {
        let (began, hold) = (began.clone(), Arc::clone(&hold));
        threads.handle().spawn(async move {
            began.send(()).unwrap();
            hold.lock().unwrap().recv().unwrap_err()
        });
        begins.recv().unwrap();
    }
    let deadline = || Instant::now() + Duration::from_secs(60);
    let whole = gzip_job(Body::from(gzip("{}")));
    let refused = read_json(&limits, Holds::Job, whole, deadline(), &threads).await;
    assert_eq!(refused.err().unwrap().into_response().status(), 503);
    // A client that does not send the rest is idle all the same, and so is one at the deadline.
    for idle in [10, 100] {
        let limits = BodyLimits::new(16 << 20, None, Duration::from_secs(idle));
        let silent = futures_util::stream::pending::<Result<String, axum::Error>>();
        let silent = gzip_job(Body::from_stream(silent));
        let refused = read_json(&limits, Holds::Job, silent, deadline(), &threads);
        let refused = refused.await.err().unwrap().into_response();
        assert_eq!(refused.status(), 408, "{idle}");
    }
}
