//! The failure of a job: the record that the server keeps, and the report that a worker sends.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::timestamp::Timestamp;

/// The most bytes of an error type that the server keeps.
pub const ERROR_TYPE_BYTES_MAX: usize = 100;
/// The most bytes of a message that the server keeps.
pub const MESSAGE_BYTES_MAX: usize = 1000;
/// The most lines of a backtrace that the server keeps.
pub const BACKTRACE_LINES_MAX: usize = 50;
/// The most bytes of a line of a backtrace that the server keeps. Faktory has no such bound.
pub const BACKTRACE_LINE_BYTES_MAX: usize = 1000;
/// The most bytes of a time in a failure record that the server keeps.
const TIME_BYTES_MAX: usize = 100;

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
    #[serde(deserialize_with = "first_lines", skip_serializing_if = "Vec::is_empty")]
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

    /// The record of a job that a client pushed, with texts as short as those of a report.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        for (text, limit) in [
            (&mut self.failed_at, TIME_BYTES_MAX),
            (&mut self.next_at, TIME_BYTES_MAX),
            (&mut self.errtype, ERROR_TYPE_BYTES_MAX),
            (&mut self.message, MESSAGE_BYTES_MAX),
        ] {
            text.truncate(end(text, limit));
        }
        cut_backtrace(&mut self.backtrace);
        self
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
    #[serde(deserialize_with = "first_lines_or_null", skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
}

fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The lines of a backtrace that the server keeps. The others are read and not stored, so that a
/// command of many short lines takes no more memory than its text.
struct FirstLines(Vec<String>);

impl<'de> Deserialize<'de> for FirstLines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = FirstLines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<FirstLines, A::Error> {
                let mut first = Vec::new();
                while first.len() < BACKTRACE_LINES_MAX {
                    let Some(mut line) = lines.next_element::<String>()? else {
                        return Ok(FirstLines(first));
                    };
                    if line.len() > BACKTRACE_LINE_BYTES_MAX {
                        line.truncate(end(&line, BACKTRACE_LINE_BYTES_MAX));
                        line.shrink_to_fit();
                    }
                    first.push(line);
                }
                while lines.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstLines(first))
            }
        }
        deserializer.deserialize_seq(Lines)
    }
}

fn first_lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    FirstLines::deserialize(deserializer).map(|FirstLines(lines)| lines)
}

fn first_lines_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let lines = Option::<FirstLines>::deserialize(deserializer)?;
    Ok(lines.map_or_else(Vec::new, |FirstLines(lines)| lines))
}

impl FailReport {
    /// The report, trimmed and cut as the server does, but never inside a character. A blank text
    /// becomes `unknown`.
    #[must_use]
    pub fn within_limits(mut self) -> Self {
        self.errtype = cut(&self.errtype, ERROR_TYPE_BYTES_MAX);
        self.message = cut(&self.message, MESSAGE_BYTES_MAX);
        cut_backtrace(&mut self.backtrace);
        self
    }
}

fn cut_backtrace(backtrace: &mut Vec<String>) {
    backtrace.truncate(BACKTRACE_LINES_MAX);
    for line in backtrace {
        line.truncate(end(line, BACKTRACE_LINE_BYTES_MAX));
    }
}

fn cut(text: &str, limit: usize) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "unknown".into();
    }
    text.get(..end(text, limit)).unwrap_or_default().into()
}

/// The end of a text that is cut to a limit, between two characters.
fn end(text: &str, limit: usize) -> usize {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
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
            backtrace: vec!["l".repeat(2000); 60],
        };
        let cut = report.within_limits();
        assert_eq!(cut.errtype, "é".repeat(50));
        assert_eq!(cut.message, "unknown");
        assert_eq!(cut.backtrace, vec!["l".repeat(1000); 50]);
    }

    #[test]
    fn no_more_lines_are_read_than_are_kept() {
        let lines = vec![format!("\"{}\"", "l".repeat(2000)); 1000].join(",");
        let report: FailReport =
            serde_json::from_str(&format!(r#"{{"jid":"j","backtrace":[{lines}]}}"#)).unwrap();
        let record: Failure =
            serde_json::from_str(&format!(r#"{{"backtrace":[{lines}]}}"#)).unwrap();
        for backtrace in [report.backtrace, record.backtrace] {
            assert_eq!(backtrace, vec!["l".repeat(1000); 50]);
            assert!(backtrace.capacity() <= 2 * BACKTRACE_LINES_MAX);
        }
        let null: FailReport = serde_json::from_str(r#"{"jid":"j","backtrace":null}"#).unwrap();
        assert!(null.backtrace.is_empty());
        assert!(serde_json::from_str::<FailReport>(r#"{"jid":"j","backtrace":[1]}"#).is_err());
    }

    #[test]
    fn the_record_of_a_pushed_job_is_cut_too_and_stays_as_it_is_where_it_is_short() {
        let long = || "é".repeat(1000);
        let record = Failure {
            failed_at: long(),
            next_at: long(),
            message: long(),
            errtype: long(),
            backtrace: vec![long(); 60],
            ..Failure::default()
        };
        let cut = record.within_limits();
        let lengths = [&cut.failed_at, &cut.next_at, &cut.message, &cut.errtype].map(String::len);
        assert_eq!(lengths, [100, 100, 1000, 100]);
        assert_eq!(cut.backtrace, vec!["é".repeat(500); 50]);
        let short = Failure { message: " m ".into(), retry_count: 2, ..Failure::default() };
        assert_eq!(short.clone().within_limits(), short);
    }
}
