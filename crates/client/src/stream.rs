//! Posting jobs as a stream: one request for as long as there are jobs.

use std::collections::VecDeque;
use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use crate::answer::{chain, foreign, says_try_again};
use crate::builder::Client;
use crate::new_job::NewJob;
use crate::outcome::{JobOutcome, PostError, Problem};
use crate::post::unclear;

/// The most jobs that are sent in one piece of the body, where so many are at hand.
const TOGETHER: usize = 500;
/// The most bytes of a result.
const LINE_MAX: usize = 4 << 20;

/// The results of a stream, as they become known.
#[derive(Debug)]
pub struct StreamResults {
    response: reqwest::Response,
    buffer: BytesMut,
    ready: VecDeque<StreamResult>,
}

/// The result of one job of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamResult {
    /// The number of the job, counted from 0. `None` where the stream itself has ended early: then
    /// the outcome tells why, and jobs without a result are unknown.
    pub index: Option<u64>,
    /// The outcome of the job.
    pub outcome: JobOutcome,
}

/// A line of the answer.
#[derive(Deserialize)]
struct Line {
    line: Option<u64>,
    job_id: Option<String>,
    error: Option<LineError>,
}

#[derive(Deserialize)]
struct LineError {
    outcome: String,
    job_id: Option<String>,
    #[serde(flatten)]
    problem: Problem,
}

impl Client {
    /// Posts jobs as they come, in one request without a time limit. Results arrive in any order
    /// and must be read meanwhile: otherwise the API reads no further jobs. No job is sent again.
    ///
    /// # Errors
    /// Where the API can't be reached, or refuses the request as a whole; [`PostError`] tells
    /// whether jobs are stored, as far as that is known. Not cancel safe: dropped, the outcomes are
    /// not known.
    pub async fn post_stream<S>(&self, jobs: S) -> Result<StreamResults, PostError>
    where
        S: Stream<Item = NewJob> + Send + 'static,
    {
        let url = self
            .base
            .join("jobs/stream")
            .map_err(|error| PostError::NotStored(error.to_string()))?;
        let lines = jobs.ready_chunks(TOGETHER).map(|jobs| {
            let mut lines = String::with_capacity(jobs.len() * 64);
            for job in &jobs {
                job.in_batch(&mut lines);
                lines.push('\n');
            }
            Ok::<_, Infallible>(Bytes::from(lines))
        });
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        // Without a time limit: the request lasts as long as its jobs come.
        let sent = request.body(reqwest::Body::wrap_stream(lines)).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Err(PostError::NotStored(chain(&error))),
            Err(error) => return Err(PostError::Unknown { job_id: None, detail: chain(&error) }),
        };
        if response.status().is_success() {
            return Ok(StreamResults { response, buffer: BytesMut::new(), ready: VecDeque::new() });
        }
        let status = response.status().as_u16();
        let text = response.bytes().await.unwrap_or_default();
        Err(refusal(status, &text))
    }
}

/// The error that a failure of the whole request means, by the same rules as for a single job.
fn refusal(status: u16, text: &[u8]) -> PostError {
    let problem: Problem = serde_json::from_slice(text).unwrap_or_else(|_| foreign(status, text));
    match status {
        _ if says_try_again(&problem) => PostError::NotStored(problem.detail),
        // The API never answers 429. A gateway does, and leaves the outcome unknown.
        400..=428 | 430..500 => PostError::Refused(problem),
        _ => PostError::Unknown { job_id: None, detail: unclear(status, &problem.detail) },
    }
}

impl StreamResults {
    /// The next result; `None` after the last. Cancel safe.
    ///
    /// # Errors
    /// Where the answer breaks off: jobs without a result are unknown then.
    pub async fn next(&mut self) -> Result<Option<StreamResult>, PostError> {
        let lost = |detail: String| PostError::Unknown { job_id: None, detail };
        loop {
            if let Some(result) = self.ready.pop_front() {
                return Ok(Some(result));
            }
            if self.buffer.len() > LINE_MAX {
                return Err(lost(format!("a result has more than {LINE_MAX} bytes")));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => return Err(lost("the answer broke off within a line".into())),
                Err(error) => return Err(lost(chain(&error))),
            }
            let Some(end) = self.buffer.iter().rposition(|byte| *byte == b'\n') else { continue };
            let lines = self.buffer.split_to(end + 1).freeze();
            for line in
                lines.as_ref().split(|byte: &u8| *byte == b'\n').filter(|line| !line.is_empty())
            {
                let line = serde_json::from_slice(line)
                    .map_err(|error| lost(format!("a result can't be read: {error}")))?;
                self.ready.push_back(result(line));
            }
        }
    }
}

fn result(line: Line) -> StreamResult {
    let index = line.line.and_then(|line| line.checked_sub(1));
    let outcome = match (line.job_id, line.error) {
        (Some(job_id), None) => JobOutcome::Stored { job_id },
        (_, Some(error)) => JobOutcome::Failed(match error.outcome.as_str() {
            "unknown" => PostError::Unknown { job_id: error.job_id, detail: error.problem.detail },
            _ if says_try_again(&error.problem) => PostError::NotStored(error.problem.detail),
            _ => PostError::Refused(error.problem),
        }),
        (None, None) => JobOutcome::Failed(PostError::Unknown {
            job_id: None,
            detail: "the result of the job tells no outcome".into(),
        }),
    };
    StreamResult { index, outcome }
}
