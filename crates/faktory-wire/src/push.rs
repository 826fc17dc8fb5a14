//! The answer to a push, and what the texts in it mean for the job.

use std::collections::HashMap;

/// What a work server's refusal says about the job, told from its text (the wire has nothing
/// better).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The job breaks a rule: it is not stored and never will be as it is.
    Job,
    /// The whole push was unreadable, so nothing of it is stored; one bad job spoils those of
    /// others.
    WholePush,
    /// The server refuses work at present: not stored, later it may be.
    Server,
    /// The job may be stored all the same.
    Unknown,
}

/// Faktory passes on what its Redis client says; these mean that the command was not carried out.
const SERVER_REFUSES: [&str; 7] = [
    "MISCONF",
    "OOM ",
    "dial unix",
    "client is closed",
    "shutdown in progress",
    "too many connections",
    "LOADING",
];

/// These come after the command may have reached the store.
const MAY_BE_STORED: [&str; 6] = [
    "context deadline exceeded",
    "i/o timeout",
    "internal error",
    "EOF",
    "connection reset",
    "broken pipe",
];

impl Refusal {
    /// Tells what an error text means, with or without its leading `ERR `.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.strip_prefix("ERR ").unwrap_or(text);
        // A job's own text may stand inside a refusal of that job, so its rules are looked for
        // first.
        if text.starts_with("invalid JSON") {
            Self::WholePush
        } else if text.starts_with("jobs ")
            || text.starts_with("invalid timestamp for 'at'")
            || text.starts_with("cannot get \"")
        {
            Self::Job
        } else if SERVER_REFUSES.iter().any(|sign| text.contains(sign)) {
            Self::Server
        } else if MAY_BE_STORED.iter().any(|sign| text.contains(sign)) {
            Self::Unknown
        } else if text.starts_with("unknown command") {
            Self::Job
        } else {
            // A text that we do not know proves nothing about the store.
            Self::Unknown
        }
    }
}

/// The map of a PUSHB's answer: which jobs were not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushResults {
    refused: HashMap<String, String>,
}

impl PushResults {
    /// Reads the body of the answer.
    ///
    /// # Errors
    /// Where it is no map of texts.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self { refused: serde_json::from_slice(body)? })
    }

    /// Why this job was not taken; `None` where it was.
    #[must_use]
    pub fn refused(&self, jid: &str) -> Option<&str> {
        self.refused.get(jid).map(String::as_str)
    }

    /// True where every job was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }
}

/// Appends a PUSHB of jobs that are JSON on one line already.
pub fn encode_pushb<'a>(jobs: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"PUSHB [");
    for (index, job) in jobs.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(job);
    }
    out.extend_from_slice(b"]\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        for (text, meaning) in [
            ("jobs must have a jobtype parameter", Refusal::Job),
            ("cannot get \"a MISCONF b\" queue: queue names must match", Refusal::Job),
            ("ERR invalid JSON: unexpected end", Refusal::WholePush),
            ("MISCONF Redis is configured to save RDB snapshots", Refusal::Server),
            (
                "ERR dial unix /x/redis.sock: connect: resource temporarily unavailable",
                Refusal::Server,
            ),
            ("ERR redis: client is closed", Refusal::Server),
            ("ERR shutdown in progress", Refusal::Server),
            ("ERR too many connections: 2001", Refusal::Server),
            ("context deadline exceeded", Refusal::Unknown),
            ("read unix @->/redis.sock: i/o timeout", Refusal::Unknown),
            ("something never seen", Refusal::Unknown),
        ] {
            assert_eq!(Refusal::of(text), meaning, "{text}");
        }
    }

    #[test]
    fn results_are_looked_up_by_job() {
        let results =
            PushResults::parse(br#"{"job-1":"jobs must have an args parameter"}"#).unwrap();
        assert_eq!(results.refused("job-1"), Some("jobs must have an args parameter"));
        assert_eq!(results.refused("job-2"), None);
        assert!(PushResults::parse(b"[]").is_err());
    }
}
