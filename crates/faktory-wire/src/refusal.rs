//! What the text of an error says about the job that was pushed. The answer itself is read in
//! `push.rs`.

use crate::push_once::{JOB_ID_REUSED, KEY_REUSED};

/// The fate of a job after an error answered its push. The wire carries a text and no code, so the
/// fate is read from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The job breaks a rule: it is not stored, and the same job will never be taken.
    Job,
    /// The whole push was unreadable, so none of its jobs is stored: one bad job spoils the others.
    WholePush,
    /// The server refuses work at present: the job is not stored, and may be taken later.
    Server,
    /// The job may be stored, or not: the text does not tell.
    Unknown,
}

/// Texts after which the command was certainly not carried out. Most come from Faktory's Redis
/// client; the last two are in what the embedded broker says where it has no memory for the
/// command, or no room on the disk.
const SERVER_REFUSES: [&str; 9] = [
    "MISCONF",
    "OOM ",
    "dial unix",
    "client is closed",
    "shutdown in progress",
    "too many connections",
    "LOADING",
    "BROKER_MAX_INPUT_BYTES",
    "BROKER_MIN_FREE",
];

/// Texts that come after the command may have reached the store.
const MAY_BE_STORED: [&str; 6] = [
    "context deadline exceeded",
    "i/o timeout",
    "internal error",
    "EOF",
    "connection reset",
    "broken pipe",
];

impl Refusal {
    /// The fate that an error text means, given with or without its leading `ERR `.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.strip_prefix("ERR ").unwrap_or(text);
        // The refusal of a job may repeat text of that job, so the rules of jobs are looked for
        // first, and only at the beginning.
        if text.starts_with("invalid JSON") {
            Self::WholePush
        } else if text.starts_with("jobs ")
            || text.starts_with("invalid timestamp for 'at'")
            || text.starts_with("cannot get \"")
            || text.starts_with(JOB_ID_REUSED)
            || text.starts_with(KEY_REUSED)
        {
            Self::Job
        } else if SERVER_REFUSES.iter().any(|sign| text.contains(sign)) {
            Self::Server
        } else if MAY_BE_STORED.iter().any(|sign| text.contains(sign)) {
            Self::Unknown
        } else if text.starts_with("unknown command") {
            Self::Job
        } else {
            // An unknown text proves nothing about the store.
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_of_a_server_tells_the_fate_of_the_job() {
        for (text, meaning) in [
            ("jobs must have a jobtype parameter", Refusal::Job),
            ("cannot get \"a MISCONF b\" queue: queue names must match", Refusal::Job),
            (JOB_ID_REUSED, Refusal::Job),
            (KEY_REUSED, Refusal::Job),
            ("ERR invalid JSON: unexpected end", Refusal::WholePush),
            ("MISCONF Redis is configured to save RDB snapshots", Refusal::Server),
            (
                "ERR dial unix /x/redis.sock: connect: resource temporarily unavailable",
                Refusal::Server,
            ),
            ("ERR redis: client is closed", Refusal::Server),
            ("ERR shutdown in progress", Refusal::Server),
            ("ERR too many connections: 2001", Refusal::Server),
            (
                "ERR too many commands arrive at once for BROKER_MAX_INPUT_BYTES; try again later",
                Refusal::Server,
            ),
            ("ERR disk full: less than BROKER_MIN_FREE is left; try again later", Refusal::Server),
            ("context deadline exceeded", Refusal::Unknown),
            ("read unix @->/redis.sock: i/o timeout", Refusal::Unknown),
            ("something never seen", Refusal::Unknown),
        ] {
            assert_eq!(Refusal::of(text), meaning, "{text}");
        }
    }
}
