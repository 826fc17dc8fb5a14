//! The failure of a job: the record that the server keeps, and the report that a worker sends.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The most bytes of an error type that the server keeps.
pub const ERROR_TYPE_BYTES_MAX: usize = 100;
/// The most bytes of a message that the server keeps.
pub const MESSAGE_BYTES_MAX: usize = 1000;
/// The most lines of a backtrace that the server keeps.
pub const BACKTRACE_LINES_MAX: usize = 50;

/// The failure record of a job, written by the server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The time of the first failure, RFC 3339.
    pub failed_at: String,
    /// The time of the next try, RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_at: String,
    /// The message of the last failure.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The error type of the last failure.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub errtype: String,
    /// The backtrace of the last failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// Retries done; 0 after the first failure.
    pub retry_count: i64,
    /// Retries left; −1 for a job with `retry` −1.
    pub remaining: i64,
}

impl Failure {
    /// Appends the record as JSON.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if serde_json::to_writer(&mut *out, self).is_err() {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
    }

    /// The time of the first failure, where the record holds a valid one.
    #[must_use]
    pub fn first_failed_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.failed_at).ok()
    }
}

/// The report of a worker about a job that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FailReport {
    /// The job's id.
    #[serde(deserialize_with = "null_is_default")]
    pub jid: String,
    /// The error type.
    #[serde(deserialize_with = "null_is_default")]
    pub errtype: String,
    /// The message of the error.
    #[serde(deserialize_with = "null_is_default")]
    pub message: String,
    /// The lines of the backtrace.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl FailReport {
    /// The report, trimmed and cut as the server does, but never inside a character. A blank text
    /// becomes `unknown`.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        self.errtype = cut(&self.errtype, ERROR_TYPE_BYTES_MAX);
        self.message = cut(&self.message, MESSAGE_BYTES_MAX);
        self.backtrace.truncate(BACKTRACE_LINES_MAX);
        self
    }
}

fn cut(text: &str, limit: usize) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "unknown".into();
    }
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_cut_between_characters() {
        let report = FailReport {
            jid: "j".into(),
            errtype: format!(" {}", "é".repeat(60)),
            message: "  ".into(),
            backtrace: vec!["l".into(); 60],
        };
        let cut = report.within_limits();
        assert_eq!(cut.errtype, "é".repeat(50));
        assert_eq!(cut.message, "unknown");
        assert_eq!(cut.backtrace.len(), 50);
    }
}
