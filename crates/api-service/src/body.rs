//! Taking in a request's body: announced as JSON, within its size, and not too slowly.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::budget::Share;
use crate::encoding::{Decoded, Encoding};
use crate::problem::{Code, Problem};
use crate::state::{State, shutting_down};

/// What is still coming behind a refused body is read for so long, so that the client gets to see
/// the answer.
const DISCARD_TIME: std::time::Duration = std::time::Duration::from_secs(2);
const DISCARD_BYTES: usize = 64 << 20;

/// All bodies that are being read may take so much, or as much as the largest one.
pub(crate) const BUDGET_BYTES: usize = 512 << 20;
/// The first share of a body.
const FIRST_SHARE: usize = 64 << 10;

/// A body as text, and its share of the memory that all bodies may take.
pub(crate) struct Text {
    text: String,
    _share: Share,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Takes the body in.
pub(crate) async fn read_json(
    state: &State,
    request: Request,
    deadline: Instant,
) -> Result<Text, Problem> {
    let checked = state
        .check_serving()
        .and_then(|()| check_headers(request.headers()))
        .and_then(|()| Encoding::of(request.headers()));
    let encoding = match checked {
        Ok(encoding) => encoding,
        Err(problem) => return Err(refuse(request, problem).await),
    };
    let limit = state.config.max_body_bytes;
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(refuse(request, too_large(limit)).await);
    }
    // How much an encoded body becomes is not known before.
    let announced = announced.filter(|_| encoding == Encoding::Identity);
    let size =
        announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(FIRST_SHARE.min(limit));
    let read = async {
        // What is announced may never come, so it takes its share as it comes.
        let Some(mut share) = state.body_budget.share(size.min(FIRST_SHARE)).await else {
            return Err(refuse(request, no_room()).await);
        };
        let text = match encoding {
            Encoding::Identity => {
                collect(state, request, limit, size, &mut share, deadline).await?
            }
            Encoding::Gzip | Encoding::Zstd => {
                collect_decoded(
                    state,
                    encoding.decode(request.into_body()),
                    limit,
                    &mut share,
                    deadline,
                )
                .await?
            }
        };
        Ok(Text { text: utf8(text)?, _share: share })
    };
    tokio::select! {
        text = read => text,
        () = state.time_is_up() => Err(shutting_down()),
    }
}

fn no_room() -> Problem {
    Problem::new(Code::Overloaded, "too many large bodies are being read; nothing was enqueued")
        .closing()
}

/// Makes the share large enough for so many bytes more.
async fn grow(share: &mut Share, collected: &BytesMut, more: usize) -> Result<(), Problem> {
    let needed = collected.len() + more;
    if share.grow_to(needed).await { Ok(()) } else { Err(no_room()) }
}

fn utf8(bytes: BytesMut) -> Result<String, Problem> {
    if bytes.is_empty() {
        return Err(malformed_at("the body is empty; a JSON object is expected", 1, 1));
    }
    String::from_utf8(bytes.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        malformed_at("not UTF-8", line, column)
    })
}

pub(crate) fn check_headers_of_stream(headers: &HeaderMap) -> Result<(), Problem> {
    refuse_idempotency_key(headers)?;
    if media_type_is(headers, &["application/x-ndjson", "application/ndjson", "application/jsonl"])
    {
        return Ok(());
    }
    let detail = "send content-type: application/x-ndjson, one job a line (with curl: -H \
                  'content-type: application/x-ndjson' -T FILE)";
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

fn refuse_idempotency_key(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key("idempotency-key") {
        let detail = "Idempotency-Key would be ignored; leave it out, and give each job a job_id \
                      of your own so that workers can tell repeated ones";
        return Err(Problem::new(Code::IdempotencyNotSupported, detail));
    }
    Ok(())
}

fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    refuse_idempotency_key(headers)?;
    if media_type_is(headers, &["application/json"]) {
        return Ok(());
    }
    let detail = "send content-type: application/json (with curl: --json DATA, or -H \
                  'content-type: application/json' -d DATA)";
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

/// True where the body is announced as one of these, in UTF-8.
pub(crate) fn media_type_is(headers: &HeaderMap, accepted: &[&str]) -> bool {
    let given =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (media_type, parameters) = given.split_once(';').unwrap_or((given, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    let is_utf8 = parameters.is_empty()
        || matches!(parameters.as_str(), "charset=utf-8" | "charset=\"utf-8\"");
    is_utf8 && accepted.iter().any(|accepted| media_type.trim().eq_ignore_ascii_case(accepted))
}

async fn collect_decoded(
    state: &State,
    mut body: Decoded,
    limit: usize,
    share: &mut Share,
    deadline: Instant,
) -> Result<BytesMut, Problem> {
    let idle = state.config.body_idle_timeout;
    let mut collected = BytesMut::new();
    loop {
        match timeout_at(deadline.min(Instant::now() + idle), body.next()).await {
            Ok(None) => return Ok(collected),
            Ok(Some(Ok(data))) if collected.len() + data.len() > limit => {
                return Err(too_large(limit).closing());
            }
            Ok(Some(Ok(data))) => {
                grow(share, &collected, data.len()).await?;
                collected.extend_from_slice(&data);
            }
            Ok(Some(Err(error))) => {
                return Err(Problem::new(
                    Code::MalformedEncoding,
                    format!("the body can't be decoded: {error}"),
                )
                .closing());
            }
            Err(_) => return Err(too_slow(idle)),
        }
    }
}

fn too_slow(idle: std::time::Duration) -> Problem {
    let idle = idle.as_secs();
    let detail = format!(
        "no byte of the body came for {idle} s, or it was not there before the time for the \
         request ran out"
    );
    Problem::new(Code::BodyTooSlow, detail).closing()
}

async fn collect(
    state: &State,
    request: Request,
    limit: usize,
    size: usize,
    share: &mut Share,
    deadline: Instant,
) -> Result<BytesMut, Problem> {
    let expects = expects_continue(request.headers());
    let mut body = request.into_body();
    let mut collected = BytesMut::with_capacity(size.min(1 << 20));
    loop {
        let idle = state.config.body_idle_timeout;
        let frame = match timeout_at(deadline.min(Instant::now() + idle), body.frame()).await {
            Ok(None) => return Ok(collected),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Problem::new(
                    Code::MalformedJson,
                    format!("the body broke off: {error}"),
                )
                .closing());
            }
            Err(_) => return Err(too_slow(idle)),
        };
        if let Ok(data) = frame.into_data() {
            if collected.len() + data.len() > limit {
                let all_read = discard(body, expects).await;
                return Err(if all_read { too_large(limit) } else { too_large(limit).closing() });
            }
            grow(share, &collected, data.len()).await?;
            collected.extend_from_slice(&data);
        }
    }
}

/// Answers without having read the body: what is still coming is read and forgotten for a while,
/// because a client whose sending fails never looks at the answer. One that asked first (`Expect:
/// 100-continue`) sends nothing.
pub(crate) async fn refuse(request: Request, problem: Problem) -> Problem {
    let expects = expects_continue(request.headers());
    let body = request.into_body();
    if body.is_end_stream() {
        return problem;
    }
    if discard(body, expects).await { problem } else { problem.closing() }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

/// Reads on and forgets; true where that came to the end of the body.
async fn discard(mut body: Body, expects_continue: bool) -> bool {
    if expects_continue {
        return false;
    }
    let read = async {
        let mut seen = 0;
        loop {
            match body.frame().await {
                None => return true,
                Some(Ok(frame)) => seen += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => return false,
            }
            if seen > DISCARD_BYTES {
                return false;
            }
        }
    };
    tokio::time::timeout(DISCARD_TIME, read).await.unwrap_or(false)
}

pub(crate) fn too_large(limit: usize) -> Problem {
    let detail = format!("the body may have {limit} bytes at the most (API_MAX_BODY_BYTES)");
    Problem::new(Code::BodyTooLarge, detail).with("limit", limit)
}

/// Where JSON text breaks off, for a person and for a program.
pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    malformed_at(text.split(" at line ").next().unwrap_or_default(), error.line(), error.column())
}

fn malformed_at(what: &str, line: usize, column: usize) -> Problem {
    let detail = format!("{what} (line {line}, column {column})");
    Problem::new(Code::MalformedJson, detail).with("line", line).with("column", column)
}
