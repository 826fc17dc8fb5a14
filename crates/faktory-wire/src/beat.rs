//! BEAT: a worker's sign of life, and the state that the server answers with.

use serde::{Deserialize, Serialize};

/// What a worker may do. States only move forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum WorkerState {
    /// Fetches and runs.
    #[default]
    Running,
    /// Fetches no more, finishes what it has.
    Quiet,
    /// Ends.
    Terminate,
}

impl WorkerState {
    /// The word on the wire; none for a running worker.
    #[must_use]
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Running => None,
            Self::Quiet => Some("quiet"),
            Self::Terminate => Some("terminate"),
        }
    }

    /// The state behind a word; anything unknown is no change, hence running.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "quiet" => Self::Quiet,
            "terminate" => Self::Terminate,
            _ => Self::Running,
        }
    }
}

/// One sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Beat {
    /// The worker.
    pub wid: String,
    /// The state that the worker declares itself to be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_state: Option<String>,
    /// Its resident memory, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct StateAnswer<'a> {
    state: &'a str,
}

impl WorkerState {
    /// The body of the answer to a beat; none for a running worker, who gets `+OK`.
    #[must_use]
    pub fn answer_body(self) -> Option<Vec<u8>> {
        self.word().and_then(|state| serde_json::to_vec(&StateAnswer { state }).ok())
    }

    /// Reads the body of an answer to a beat; what can't be read is no change.
    #[must_use]
    pub fn from_answer_body(body: &[u8]) -> Self {
        serde_json::from_slice::<StateAnswer<'_>>(body)
            .map_or(Self::Running, |answer| Self::from_word(answer.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_written_and_read() {
        for state in [WorkerState::Quiet, WorkerState::Terminate] {
            assert_eq!(WorkerState::from_answer_body(&state.answer_body().unwrap()), state);
        }
        assert_eq!(WorkerState::Running.answer_body(), None);
        assert_eq!(WorkerState::from_answer_body(b"junk"), WorkerState::Running);
    }
}
