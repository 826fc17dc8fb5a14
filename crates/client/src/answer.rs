//! One request and the meaning of its answer. Whether to make another attempt is decided
//! elsewhere, in `post.rs` and `batch.rs`.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Deserialize;

use crate::builder::Client;
use crate::keys::{self, NOT_SUPPORTED};
use crate::outcome::Problem;

/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// The result of one request.
pub(crate) enum Answer {
    /// An answer of the API.
    Document { status: u16, retry_after: Option<Duration>, document: Box<Document> },
    /// The request was not sent, because there was no connection.
    NotSent(String),
    /// The request may have arrived, and no answer tells.
    Lost(String),
}

/// The members of answers, both of successes and of problems.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Document {
    pub(crate) job_id: Option<String>,
    pub(crate) job_ids: Vec<String>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) unknown: Vec<usize>,
    pub(crate) not_sent: Vec<usize>,
    #[serde(flatten)]
    pub(crate) problem: Problem,
}

impl Answer {
    /// Whether the API refuses the request because it has a key.
    pub(crate) fn refuses_key(&self) -> bool {
        matches!(self, Self::Document { document, .. } if document.problem.code == NOT_SUPPORTED)
    }
}

/// A job that the work server has refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rejected {
    /// The position of the job in the request.
    pub(crate) index: usize,
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// The API's codes for "certainly not stored, try again". A gateway before the API may answer 503
/// or 429 to a request that it has passed on, so the status alone tells nothing.
const TRY_AGAIN: [&str; 6] = [
    "work_server_unreachable",
    "work_server_refusing",
    "circuit_open",
    "overloaded",
    "too_many_connections",
    "shutting_down",
];

impl Document {
    /// Whether the API tells that no job of the request is stored, and that it may be sent again.
    pub(crate) fn says_try_again(&self) -> bool {
        says_try_again(&self.problem)
    }
}

/// Whether a problem tells that its jobs are not stored, and may be sent again.
pub(crate) fn says_try_again(problem: &Problem) -> bool {
    TRY_AGAIN.contains(&problem.code.as_str())
}

impl Client {
    /// Makes one request, under a key where it has one, and reads its answer.
    pub(crate) async fn send(&self, path: &str, body: Bytes, key: Option<&HeaderValue>) -> Answer {
        let Ok(url) = self.base.join(path) else {
            return Answer::NotSent(format!("no such path: {path}"));
        };
        let json = HeaderValue::from_static("application/json");
        let mut request = self.http.post(url).header(CONTENT_TYPE, json).body(body);
        if let Some(key) = key {
            request = request.header(keys::HEADER, key);
        }
        let answered = async {
            match request.send().await {
                Ok(response) => read(response).await,
                Err(error) if error.is_connect() || error.is_builder() => {
                    Answer::NotSent(chain(&error))
                }
                Err(error) => Answer::Lost(chain(&error)),
            }
        };
        let timed_out = || Answer::Lost(self.timed_out());
        deadline::timeout(self.timeout, answered).await.unwrap_or_else(|_| timed_out())
    }

    fn timed_out(&self) -> String {
        format!("timed out: no whole answer within {:?}", self.timeout)
    }

    /// Whether the API would store jobs now: `/ready` is answered with 200.
    ///
    /// # Errors
    /// With the reason, where the API would not store jobs or can't be reached. Cancel safe.
    pub async fn ready(&self) -> Result<(), String> {
        let url = self.base.join("ready").map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.http.get(url).send().await.map_err(|error| chain(&error))?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            Err(format!("the answer was {status}: {}", response.text().await.unwrap_or_default()))
        };
        deadline::timeout(self.timeout, answered).await.unwrap_or_else(|_| Err(self.timed_out()))
    }
}

/// Reads an answer to its end, within its bound.
async fn read(mut response: Response) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
    let mut text = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if text.len() + chunk.len() <= ANSWER_MAX => {
                text.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                let detail = format!("the answer {status} has more than {ANSWER_MAX} bytes");
                return Answer::Lost(detail);
            }
            Ok(None) => return understand(status, retry_after, &text),
            Err(error) => {
                let detail = format!("the answer {status} broke off: {}", chain(&error));
                return Answer::Lost(detail);
            }
        }
    }
}

fn understand(status: u16, retry_after: Option<Duration>, text: &[u8]) -> Answer {
    let document = match serde_json::from_slice(text) {
        Ok(document) => document,
        Err(_) if (200..300).contains(&status) => {
            let detail = format!("the answer {status} is not the API's: {}", excerpt(text));
            return Answer::Lost(detail);
        }
        // For example the page of a gateway. The status still tells something.
        Err(_) => Document { problem: foreign(status, text), ..Document::default() },
    };
    Answer::Document { status, retry_after, document: Box::new(document) }
}

/// A problem made from a failure that is not a document of the API.
pub(crate) fn foreign(status: u16, text: &[u8]) -> Problem {
    let (code, detail) = (format!("http_{status}"), excerpt(text));
    Problem { status, code, detail, ..Problem::default() }
}

/// The most characters of a foreign answer that are quoted in an error.
const EXCERPT_CHARACTERS: usize = 200;

/// The beginning of a text, with replacements for bytes that are not UTF-8.
fn excerpt(text: &[u8]) -> String {
    // A character has at most four bytes; the rest of a long answer need not be looked at.
    let begin = text.get(..4 * EXCERPT_CHARACTERS).unwrap_or(text);
    String::from_utf8_lossy(begin).chars().take(EXCERPT_CHARACTERS).collect()
}

/// The seconds of `Retry-After`; `None` for a date, a form that the API never sends.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// An error with its causes: the first line of an error of the HTTP library tells little.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_at_most_200_characters_and_no_broken_one() {
        assert_eq!(excerpt(b"<html>"), "<html>");
        assert_eq!(excerpt("ü".repeat(1000).as_bytes()), "ü".repeat(200));
        assert_eq!(excerpt("\u{10348}".repeat(201).as_bytes()), "\u{10348}".repeat(200));
        assert_eq!(excerpt(b"a\xFFb"), "a\u{FFFD}b");
    }
}
