//! Taking in a request's body: announced as JSON, within its size, and not too slowly.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::problem::{Code, Problem};
use crate::state::{State, shutting_down};

/// What is still coming behind a refused body is read for so long, so that the client gets to see the answer.
const DISCARD_TIME: std::time::Duration = std::time::Duration::from_secs(2);
const DISCARD_BYTES: usize = 64 << 20;

/// Takes the body in, as text.
pub(crate) async fn read_json(state: &State, request: Request, deadline: Instant) -> Result<String, Problem> {
    let (parts, body) = request.into_parts();
    check_headers(&parts.headers)?;
    let limit = state.config.max_body_bytes;
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(body, limit).await);
    }
    let bytes = tokio::select! {
        bytes = collect(state, body, limit, announced, deadline) => bytes?,
        () = state.time_is_up() => return Err(shutting_down()),
    };
    if bytes.is_empty() {
        return Err(Problem::new(Code::MalformedJson, "the body is empty; a JSON object is expected"));
    }
    String::from_utf8(bytes.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        Problem::new(Code::MalformedJson, format!("not UTF-8 at line {line}, column {column}")).with("line", line).with("column", column)
    })
}

fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key("idempotency-key") {
        let detail =
            "Idempotency-Key would be ignored; leave it out, and give each job a job_id of your own so that workers can tell repeated ones";
        return Err(Problem::new(Code::IdempotencyNotSupported, detail));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(Code::UnsupportedMediaType, "encoded bodies (content-encoding) are not accepted; send plain JSON"));
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (media_type, parameters) = given.split_once(';').unwrap_or((given, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    let is_utf8 = parameters.is_empty() || matches!(parameters.as_str(), "charset=utf-8" | "charset=\"utf-8\"");
    if media_type.trim().eq_ignore_ascii_case("application/json") && is_utf8 {
        return Ok(());
    }
    let detail = "send content-type: application/json (with curl: --json DATA, or -H 'content-type: application/json' -d DATA)";
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

async fn collect(state: &State, mut body: Body, limit: usize, announced: Option<u64>, deadline: Instant) -> Result<Bytes, Problem> {
    let capacity = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(limit).min(1 << 20);
    let mut collected = BytesMut::with_capacity(capacity);
    loop {
        let idle = state.config.body_idle_timeout;
        let frame = match timeout_at(deadline.min(Instant::now() + idle), body.frame()).await {
            Ok(None) => return Ok(collected.freeze()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Problem::new(Code::MalformedJson, format!("the body broke off: {error}")).closing());
            }
            Err(_) => {
                let detail = format!(
                    "no byte of the body came for {} s, or it was not there before the time for the request ran out",
                    idle.as_secs()
                );
                return Err(Problem::new(Code::BodyTooSlow, detail).closing());
            }
        };
        if let Ok(data) = frame.into_data() {
            if collected.len() + data.len() > limit {
                return Err(too_large(body, limit).await);
            }
            collected.extend_from_slice(&data);
        }
    }
}

async fn too_large(mut body: Body, limit: usize) -> Problem {
    let discard = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, discard).await;
    let detail = format!("the body may have {limit} bytes at the most (API_MAX_BODY_BYTES)");
    Problem::new(Code::BodyTooLarge, detail).with("limit", limit).closing()
}

/// Where JSON text breaks off, for a person and for a program.
pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let (line, column) = (error.line(), error.column());
    Problem::new(Code::MalformedJson, format!("{what} at line {line}, column {column}")).with("line", line).with("column", column)
}
