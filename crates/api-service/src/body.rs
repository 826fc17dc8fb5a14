//! Reads a request's body: announced as JSON, within its size, and not too slowly. A body that is
//! refused before its end may be left as it is: the drain layer discards the rest.

mod blocks;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use deadline::{timeout, timeout_at};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use job_types::FieldError;
use service_runtime::JOB_BYTES_MAX;
use tokio::time::Instant;

use crate::budget::{Budget, SMALL_BYTES, Share};
use crate::encoding::{self, Decoded, Encoding, Failure, Fault, Memory};
use crate::idempotency_key;
use crate::idle::Unidle;
use crate::problem::{Code, Problem};
use crate::slow_threads::SlowThreads;
use blocks::Blocks;

/// The memory for all bodies that are being read together, in bytes; more where a single body may
/// be larger. Their jobs are encoded from it: with twice as much, the API took 1.1 GiB at most.
const BUDGET_BYTES: usize = 240 << 20;
/// The first share of that memory for a body, in bytes: a small one.
const FIRST_SHARE: usize = SMALL_BYTES;

/// The limits of bodies.
#[derive(Debug)]
pub(crate) struct BodyLimits {
    /// The largest body, in bytes, before and after decoding.
    pub(crate) max_bytes: usize,
    /// The largest job, in bytes of JSON; no more than `max_bytes`.
    pub(crate) max_job_bytes: usize,
    /// The largest line of a stream, in bytes: a job, whatever a body may have.
    pub(crate) max_line_bytes: usize,
    /// The longest pause within a body.
    pub(crate) idle_timeout: Duration,
    /// The memory for all bodies that are being read.
    pub(crate) budget: Budget,
}

impl BodyLimits {
    /// Limits with the time and the sizes of bodies and jobs; a job may be as large as a body where
    /// it has no size of its own, and never larger than what a work server takes.
    pub(crate) fn new(
        max_bytes: usize,
        max_job_bytes: Option<usize>,
        idle_timeout: Duration,
    ) -> Self {
        let max_line_bytes = max_job_bytes.unwrap_or(max_bytes).min(JOB_BYTES_MAX);
        Self {
            max_bytes,
            max_job_bytes: max_line_bytes.min(max_bytes),
            max_line_bytes,
            idle_timeout,
            budget: Budget::new(BUDGET_BYTES.max(max_bytes).max(max_line_bytes)),
        }
    }

    /// The largest body that holds this.
    const fn of(&self, holds: Holds) -> usize {
        match holds {
            Holds::Job => self.max_job_bytes,
            Holds::Batch => self.max_bytes,
        }
    }

    /// The refusal of a line of a stream that is too large.
    pub(crate) fn line_too_large(&self) -> Problem {
        self.job_too_large(self.max_line_bytes)
    }

    /// The refusal of one job that is too large as it was posted.
    fn job_too_large(&self, limit: usize) -> Problem {
        if limit == self.max_bytes {
            return too_large(limit);
        }
        let detail = format!("a job may have {limit} bytes at the most ({})", job_bound(limit));
        Problem::of_faults(vec![job_fault(String::new(), detail)]).with("limit", limit)
    }

    /// The answer to a body that was not decoded to its end.
    fn why_not_decoded(&self, error: &io::Error) -> Problem {
        match (Fault::behind(error), Failure::behind(error)) {
            (Some(Fault::TooLarge), _) => too_large(self.max_bytes),
            (_, Some(Failure::Idle)) => too_slow(self.idle_timeout),
            (_, Some(Failure::NoMemory)) => no_memory().closing(),
            (_, Some(Failure::BrokeOff)) => {
                Problem::new(Code::InternalError, "the decoding of the body broke off").closing()
            }
            _ => {
                let detail = format!("the body can't be decoded: {error}");
                let problem = Problem::new(Code::MalformedEncoding, detail);
                let body_failed = encoding::is_failure_of_body(error);
                if body_failed { problem.closing_at_once() } else { problem }
            }
        }
    }

    fn too_large(&self, holds: Holds) -> Problem {
        match holds {
            Holds::Job => self.job_too_large(self.max_job_bytes),
            Holds::Batch => too_large(self.max_bytes),
        }
    }
}

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// One job.
    Job,
    /// A batch.
    Batch,
}

/// What bounds a job to so many bytes, in words.
pub(crate) const fn job_bound(limit: usize) -> &'static str {
    if limit == JOB_BYTES_MAX { "a work server takes no more" } else { "API_MAX_JOB_BYTES" }
}

/// The fault of a job that is too large.
pub(crate) fn job_fault(pointer: String, detail: String) -> FieldError {
    FieldError { pointer, code: job_types::Code::JobTooLarge, detail }
}

/// A body as text, and its share of the memory for bodies.
pub(crate) struct Text {
    text: String,
    _share: Share,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// A body that has come as a whole, and is not yet one text: to make one of 16 MiB takes
/// milliseconds, and is part of the work on a long body.
pub(crate) struct Whole {
    blocks: Blocks,
    share: Share,
}

impl Whole {
    /// The bytes of the body.
    pub(crate) const fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The body as one text.
    ///
    /// # Errors
    /// Where it is empty, or not UTF-8.
    pub(crate) fn into_text(self) -> Result<Text, Problem> {
        Ok(Text { text: utf8(self.blocks.join())?, _share: self.share })
    }
}

/// Reads a body that must be announced as JSON; an encoded one is decoded on these threads. Not
/// cancel safe: dropped, the body is lost.
pub(crate) async fn read_json(
    limits: &BodyLimits,
    holds: Holds,
    request: Request,
    deadline: Instant,
    threads: &SlowThreads,
) -> Result<Whole, Problem> {
    let headers = request.headers();
    check_headers(headers)?;
    let encoding = Encoding::of(headers)?;
    let limit = limits.of(holds);
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // An encoder may write more bytes than it was given: a job's own bound is for its JSON.
    let is_encoded = encoding != Encoding::Identity;
    let sent_limit = if is_encoded { limits.max_bytes } else { limit };
    if announced.is_some_and(|length| length > sent_limit as u64) {
        return Err(if is_encoded { too_large(sent_limit) } else { limits.too_large(holds) });
    }
    // The decoded size of an encoded body is not known in advance.
    let announced = announced.filter(|_| !is_encoded);
    let size_max = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
    // The announced bytes may never come, so the share grows with the bytes that have come.
    let first = size_max.min(FIRST_SHARE);
    let Some(share) = limits.budget.for_body(size_max).share(first).await else {
        return Err(no_memory().closing());
    };
    let blocks = Blocks::for_size(size_max, FIRST_SHARE);
    let mut collected = Collected { blocks, share, limits, holds };
    let body = request.into_body();
    let idle = limits.idle_timeout;
    if encoding == Encoding::Identity {
        let read = collected.read(body, idle);
        // One deadline for the whole body: one for each piece would look once more after each.
        timeout_at(deadline, read).await.unwrap_or_else(|_| Err(too_slow(idle)))?;
    } else {
        let sent = TryStreamExt::map_err(body.into_data_stream(), io::Error::other);
        let sent = Unidle::new(sent, idle);
        let awaited = sent.awaited_client();
        let memory = Memory::for_body(limits.budget.clone());
        let decoded = encoding.decode(sent, sent_limit, memory, &threads.handle());
        let late = || if awaited.took_most() { too_slow(idle) } else { no_turn_for_decoding() };
        let read = collected.read_decoded(decoded);
        timeout_at(deadline, read).await.unwrap_or_else(|_| Err(late()))?;
    }
    Ok(Whole { blocks: collected.blocks, share: collected.share })
}

/// The bytes of a body that have come so far.
struct Collected<'a> {
    blocks: Blocks,
    share: Share,
    limits: &'a BodyLimits,
    holds: Holds,
}

impl Collected<'_> {
    /// Reads a plain body to its end.
    async fn read(&mut self, mut body: Body, idle: Duration) -> Result<(), Problem> {
        loop {
            let frame = match timeout(idle, body.frame()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => {
                    let detail = format!("the body broke off: {error}");
                    return Err(Problem::new(Code::MalformedJson, detail).closing_at_once());
                }
                Err(_) => return Err(too_slow(idle)),
            };
            if let Ok(data) = frame.into_data() {
                if self.is_over_limit(data.len()) {
                    return Err(self.limits.too_large(self.holds));
                }
                self.append(&data).await?;
            }
        }
    }

    /// Reads an encoded body to its end.
    async fn read_decoded(&mut self, mut body: Decoded) -> Result<(), Problem> {
        while let Some(data) = body.next().await {
            let data = data.map_err(|error| self.limits.why_not_decoded(&error))?;
            if self.is_over_limit(data.len()) {
                return Err(self.limits.too_large(self.holds));
            }
            self.append(&data).await?;
        }
        Ok(())
    }

    fn is_over_limit(&self, more: usize) -> bool {
        self.blocks.len() + more > self.limits.of(self.holds)
    }

    /// Adds bytes. The share is for all that is allocated, and not for the bytes alone.
    async fn append(&mut self, data: &[u8]) -> Result<(), Problem> {
        if !self.share.grow_to(self.blocks.allocated_with(data.len())).await {
            return Err(no_memory().closing());
        }
        self.blocks.append(data);
        Ok(())
    }
}

fn no_memory() -> Problem {
    Problem::new(Code::Overloaded, "too many large bodies are being read; nothing was enqueued")
}

fn no_turn_for_decoding() -> Problem {
    let detail = "too many encoded bodies wait to be decoded; nothing was enqueued";
    Problem::new(Code::Overloaded, detail).closing()
}

fn utf8(bytes: Vec<u8>) -> Result<String, Problem> {
    if bytes.is_empty() {
        return Err(malformed_at("the body is empty; a JSON object is expected", 1, 1));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        malformed_at("not UTF-8", line, column)
    })
}

/// Checks the headers of a stream of jobs.
pub(crate) fn check_headers_of_stream(headers: &HeaderMap) -> Result<(), Problem> {
    idempotency_key::refuse(headers)?;
    if media_type_is(headers, &["application/x-ndjson", "application/ndjson", "application/jsonl"])
    {
        return Ok(());
    }
    let detail = "send content-type: application/x-ndjson, one job a line (with curl: -H \
                  'content-type: application/x-ndjson' -T FILE)";
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// Checks the headers of a body that must be JSON.
fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    if media_type_is(headers, &["application/json"]) {
        return Ok(());
    }
    let detail = "send content-type: application/json (with curl: --json DATA, or -H \
                  'content-type: application/json' -d DATA)";
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// True where the body is announced as one of these media types, in UTF-8.
fn media_type_is(headers: &HeaderMap, accepted: &[&str]) -> bool {
    let given =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (media_type, parameters) = given.split_once(';').unwrap_or((given, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    let is_utf8 = parameters.is_empty()
        || matches!(parameters.as_str(), "charset=utf-8" | "charset=\"utf-8\"");
    is_utf8 && accepted.iter().any(|accepted| media_type.trim().eq_ignore_ascii_case(accepted))
}

fn too_slow(idle: Duration) -> Problem {
    let idle = idle.as_secs();
    let detail = format!(
        "no byte of the body came for {idle} s, or it was not there before the time for the \
         request ran out"
    );
    Problem::new(Code::BodyTooSlow, detail).closing_at_once()
}

/// The refusal of a body above the limit.
fn too_large(limit: usize) -> Problem {
    let detail = format!("the body may have {limit} bytes at the most (API_MAX_BODY_BYTES)");
    Problem::new(Code::BodyTooLarge, detail).with("limit", limit)
}

/// The refusal of text that is not JSON, with the place of the first fault.
pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    malformed_at(text.split(" at line ").next().unwrap_or_default(), error.line(), error.column())
}

fn malformed_at(what: &str, line: usize, column: usize) -> Problem {
    let detail = format!("{what} (line {line}, column {column})");
    Problem::new(Code::MalformedJson, detail).with("line", line).with("column", column)
}
