//! `POST /jobs/stream`: one job a line in, one result a line out, for as long as the client likes.
//!
//! Lines that have come are pushed together; results go out as they become known, in whatever order. What is neither answered nor
//! refused is bounded: above that, no further line is read, and TCP holds the client back. A client that reads no results holds back
//! itself.

use std::collections::HashSet;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use faktory_link::JobOutcome;
use faktory_wire::Timestamp;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use job_types::{Element, Form, NewJob};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::answer;
use crate::body;
use crate::encoding::Encoding;
use crate::jobs::{admit_queues, encode};
use crate::lines::{Line, Lines};
use crate::problem::{Code, Problem};
use crate::state::SharedState;

/// Lines that are pushed together at the most.
const GROUP_LINES: usize = 500;
/// Jobs of one stream that wait for their result at the most: at 100 ms, 200,000 a second.
const PENDING_JOBS: usize = 20_000;
/// The same in bytes.
const PENDING_BYTES: usize = 16 << 20;
/// Chunks of results that wait for the client at the most.
const RESULTS: usize = 16;

/// The handler.
pub(crate) async fn stream(Extract(state): Extract<SharedState>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers();
    let checked = state.check_serving().and_then(|()| body::check_headers_of_stream(headers)).and_then(|()| Encoding::of(headers));
    let encoding = match checked {
        Ok(encoding) => encoding,
        Err(problem) => return Err(body::refuse(request, problem).await),
    };
    let lines = Lines::new(encoding.decode(request.into_body()), state.config.max_body_bytes);
    let (results, answers) = mpsc::channel(RESULTS);
    let stream = Stream { state, results, pushing: FuturesUnordered::new(), jobs: 0, bytes: 0 };
    // Ends when its client is gone, and at the latest when the service ends.
    tokio::spawn(stream.run(lines));
    let answers = futures_util::stream::unfold(answers, |mut answers| async {
        let chunk: Bytes = answers.recv().await?;
        Some((Ok::<_, Infallible>(chunk), answers))
    });
    let mut response = Response::new(Body::from_stream(answers));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// One stream under way.
struct Stream {
    state: SharedState,
    results: mpsc::Sender<Bytes>,
    pushing: FuturesUnordered<BoxFuture<'static, Group>>,
    /// Not yet answered.
    jobs: usize,
    bytes: usize,
}

/// Jobs that were pushed together, with the numbers of their lines.
struct Group {
    numbers: Vec<u64>,
    ids: Vec<String>,
    outcomes: Vec<JobOutcome>,
    bytes: usize,
}

/// The client is gone.
struct Gone;

impl Stream {
    async fn run(mut self, mut lines: Lines) {
        let state = SharedState::clone(&self.state);
        let mut ended = false;
        while !ended || !self.pushing.is_empty() {
            let has_room = self.jobs < PENDING_JOBS && self.bytes < PENDING_BYTES;
            let taken = tokio::select! {
                Some(group) = self.pushing.next() => self.answer(group).await,
                next = lines.next(GROUP_LINES), if !ended && has_room => match next {
                    Ok(lines) if lines.is_empty() => {
                        ended = true;
                        Ok(())
                    }
                    Ok(lines) => self.take(lines).await,
                    Err(error) => {
                        ended = true;
                        let problem = Problem::new(Code::MalformedEncoding, format!("the body broke off or can't be decoded: {error}"));
                        self.say(json!({ "error": problem.as_member("not_sent") }).to_string()).await
                    }
                },
                // What has come is settled, nothing more is read.
                () = state.end_begins(), if !ended => {
                    ended = true;
                    let problem = Problem::new(Code::ShuttingDown, "this service is shutting down; lines without a result were not taken");
                    self.say(json!({ "error": problem.as_member("not_sent") }).to_string()).await
                }
            };
            if taken.is_err() {
                tracing::debug!("the client of a stream is gone");
                return;
            }
        }
    }

    /// Checks lines, pushes the jobs that are valid, and answers those that are not.
    async fn take(&mut self, lines: Vec<Line>) -> Result<(), Gone> {
        let now = Timestamp::now();
        let mut refused = String::new();
        let mut group: Vec<(u64, NewJob)> = Vec::with_capacity(lines.len());
        let mut ids = HashSet::with_capacity(lines.len());
        for line in lines {
            let (number, job) = match line {
                Line::Text(number, text) => (number, self.check(&text, now)),
                Line::TooLong(number) => (number, Err(body::too_large(self.state.config.max_body_bytes))),
            };
            match job {
                Ok(job) => {
                    // The answer to a push names jobs by id, so no id may stand in it twice.
                    if !ids.insert(job.id.as_str().to_owned()) {
                        self.push(std::mem::take(&mut group));
                        ids = HashSet::from([job.id.as_str().to_owned()]);
                    }
                    group.push((number, job));
                }
                Err(problem) => {
                    refused.push_str(&json!({ "line": number, "error": problem.as_member("not_sent") }).to_string());
                    refused.push('\n');
                }
            }
        }
        self.push(group);
        if refused.is_empty() { Ok(()) } else { self.send(refused).await }
    }

    fn check(&self, text: &[u8], now: Timestamp) -> Result<NewJob, Problem> {
        let text = std::str::from_utf8(text).map_err(|_| Problem::new(Code::MalformedJson, "the line is not UTF-8"))?;
        let element: Element<'_> = serde_json::from_str(text).map_err(|error| body::malformed(&error))?;
        let job = job_types::validate_job(&element, Form::Members, now).map_err(Problem::of_faults)?;
        admit_queues(&self.state, std::slice::from_ref(&job), "")?;
        Ok(job)
    }

    fn push(&mut self, group: Vec<(u64, NewJob)>) {
        if group.is_empty() {
            return;
        }
        let (numbers, jobs): (Vec<u64>, Vec<NewJob>) = group.into_iter().unzip();
        let ids: Vec<String> = jobs.iter().map(|job| job.id.as_str().to_owned()).collect();
        let encoded = encode(&self.state, jobs);
        let bytes = encoded.iter().map(|job| job.json.len()).sum();
        self.jobs += numbers.len();
        self.bytes += bytes;
        let state = SharedState::clone(&self.state);
        let deadline = Instant::now() + state.config.request_timeout;
        self.pushing.push(Box::pin(async move {
            let outcomes = state.pusher.push_in_turn(encoded, deadline).await;
            state.note(&outcomes);
            Group { numbers, ids, outcomes, bytes }
        }));
    }

    async fn answer(&mut self, group: Group) -> Result<(), Gone> {
        self.jobs -= group.numbers.len();
        self.bytes -= group.bytes;
        let mut text = String::with_capacity(group.numbers.len() * 64);
        for ((number, id), outcome) in group.numbers.iter().zip(&group.ids).zip(&group.outcomes) {
            match answer::member(id, outcome) {
                // An id needs no escape: [A-Za-z0-9_-].
                None => text.push_str(&format!("{{\"line\":{number},\"job_id\":\"{id}\"}}")),
                Some(error) => text.push_str(&json!({ "line": number, "error": error }).to_string()),
            }
            text.push('\n');
        }
        self.send(text).await
    }

    async fn say(&mut self, line: String) -> Result<(), Gone> {
        self.send(line + "\n").await
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        self.results.send(text.into()).await.map_err(|_| Gone)
    }
}
