//! BEAT: the heartbeat of a worker, and the worker's state that the server answers with.

use serde::{Deserialize, Serialize};

/// The state of a worker: what the server allows it to do. A state only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum WorkerState {
    /// The worker fetches jobs and runs them.
    #[default]
    Running,
    /// The worker fetches no more jobs and finishes those that it has.
    Quiet,
    /// The worker ends.
    Terminate,
}

impl WorkerState {
    /// The word for the state on the wire; `None` for a running worker.
    #[must_use]
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Running => None,
            Self::Quiet => Some("quiet"),
            Self::Terminate => Some("terminate"),
        }
    }

    /// The state that a word names. An unknown word changes nothing, so it is read as running.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "quiet" => Self::Quiet,
            "terminate" => Self::Terminate,
            _ => Self::Running,
        }
    }
}

/// The heartbeat of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Beat {
    /// The worker's id.
    pub wid: String,
    /// The state that the worker has chosen for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_state: Option<String>,
    /// The resident memory of the worker's process, in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct StateAnswer<'a> {
    state: &'a str,
}

impl WorkerState {
    /// The body of the answer to a heartbeat; `None` for a running worker, which gets `+OK`.
    #[must_use]
    pub fn answer_body(self) -> Option<Vec<u8>> {
        self.word().and_then(|state| serde_json::to_vec(&StateAnswer { state }).ok())
    }

    /// Reads the body of an answer to a heartbeat. An unreadable body changes nothing, so it is
    /// read as running.
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
    fn an_answer_to_a_beat_is_read_back_as_the_same_state() {
        for state in [WorkerState::Quiet, WorkerState::Terminate] {
            assert_eq!(WorkerState::from_answer_body(&state.answer_body().unwrap()), state);
        }
        assert_eq!(WorkerState::Running.answer_body(), None);
        assert_eq!(WorkerState::from_answer_body(b"junk"), WorkerState::Running);
    }
}
