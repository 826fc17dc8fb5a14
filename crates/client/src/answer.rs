//! One request and what its answer says, before any decision about another attempt.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Deserialize;

use crate::builder::Client;
use crate::outcome::Problem;

/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// What came back.
pub(crate) enum Answer {
    /// An answer of the API.
    Document { status: u16, retry_after: Option<Duration>, document: Box<Document> },
    /// The request never left: no connection.
    NotSent(String),
    /// It may have arrived, and nothing tells.
    Lost(String),
}

/// The members that answers have, successes and problems alike.
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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Rejected {
    pub(crate) index: usize,
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// The API's own words for "certainly not stored, try again". A gateway on the way may answer 503
/// or 429 for a request that it has passed on, so the status alone says nothing.
const TRY_AGAIN: [&str; 5] = [
    "work_server_unreachable",
    "work_server_refusing",
    "circuit_open",
    "overloaded",
    "shutting_down",
];

impl Document {
    /// Whether the API says that nothing of the request is stored for now.
    pub(crate) fn says_try_again(&self) -> bool {
        says_try_again(&self.problem)
    }
}

/// Whether a problem says that what it is about is not stored for now.
pub(crate) fn says_try_again(problem: &Problem) -> bool {
    TRY_AGAIN.contains(&problem.code.as_str())
}

impl Client {
    pub(crate) async fn send(&self, path: &str, body: Bytes) -> Answer {
        let Ok(url) = self.base.join(path) else {
            return Answer::NotSent(format!("no such path: {path}"));
        };
        let json = HeaderValue::from_static("application/json");
        let mut response =
            match self.http.post(url).header(CONTENT_TYPE, json).body(body).send().await {
                Ok(response) => response,
                Err(error) if error.is_connect() || error.is_builder() => {
                    return Answer::NotSent(chain(&error));
                }
                Err(error) => return Answer::Lost(chain(&error)),
            };
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let mut text = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if text.len() + chunk.len() <= ANSWER_MAX => {
                    text.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => {
                    return Answer::Lost(format!(
                        "the answer {status} has more than {ANSWER_MAX} bytes"
                    ));
                }
                Ok(None) => break,
                Err(error) => {
                    return Answer::Lost(format!(
                        "the answer {status} broke off: {}",
                        chain(&error)
                    ));
                }
            }
        }
        match serde_json::from_slice(&text) {
            Ok(document) => Answer::Document { status, retry_after, document: Box::new(document) },
            // A gateway's page, say. The status still tells.
            Err(_) if !(200..300).contains(&status) => {
                let problem = Problem {
                    status,
                    code: format!("http_{status}"),
                    detail: excerpt(&text),
                    ..Problem::default()
                };
                Answer::Document {
                    status,
                    retry_after,
                    document: Box::new(Document { problem, ..Document::default() }),
                }
            }
            Err(_) => {
                Answer::Lost(format!("the answer {status} is not the API's: {}", excerpt(&text)))
            }
        }
    }
}

impl Client {
    /// Whether the API would take jobs now: it answers `/ready` with 200.
    ///
    /// # Errors
    /// With the reason, where it would not or can't be reached. Cancel safe.
    pub async fn ready(&self) -> Result<(), String> {
        let url = self.base.join("ready").map_err(|error| error.to_string())?;
        let response = self.http.get(url).send().await.map_err(|error| chain(&error))?;
        if response.status().is_success() {
            return Ok(());
        }
        let status = response.status();
        Err(format!("the answer was {status}: {}", response.text().await.unwrap_or_default()))
    }
}

fn excerpt(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(200).collect()
}

/// `Retry-After` in seconds, as the API sends it; a date, which it never sends, counts as none.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// An error with its causes: the HTTP library's own first line says little.
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
