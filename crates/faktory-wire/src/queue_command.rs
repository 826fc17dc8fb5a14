//! QUEUE: pauses, resumes and removes queues, and reports their latency.

use crate::excerpt::Excerpt;
use crate::names::names;
use crate::word::Word;

/// The most names of queues in one QUEUE command. Faktory has no such bound. A server of 100,000
/// queues is asked for the latency of all of them in ten commands; PAUSE, RESUME and REMOVE have
/// `*` for all.
pub const QUEUE_NAMES_MAX: usize = 10_000;

/// A QUEUE command with the names of queues. Where the first name is `*`, all known queues are
/// meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueCommand {
    /// Reports for each queue how long its first job has waited.
    Latency(Vec<Word>),
    /// Hands out no jobs of these queues until they are resumed.
    Pause(Vec<Word>),
    /// Hands out jobs of these queues again.
    Resume(Vec<Word>),
    /// Deletes these queues and their jobs.
    Remove(Vec<Word>),
}

impl QueueCommand {
    /// The names of the queues.
    #[must_use]
    pub fn names(&self) -> &[Word] {
        match self {
            Self::Latency(names)
            | Self::Pause(names)
            | Self::Resume(names)
            | Self::Remove(names) => names,
        }
    }

    /// Reads the text behind the verb. The error is the text that the server answers with.
    pub(crate) fn parse(payload: &str) -> Result<Self, String> {
        let mut words = payload.split(' ').filter(|word| !word.is_empty());
        let subcommand =
            words.next().ok_or("QUEUE needs a subcommand: PAUSE, RESUME, REMOVE or LATENCY")?;
        let make: fn(Vec<Word>) -> Self = match subcommand.to_ascii_uppercase().as_str() {
            "LATENCY" => Self::Latency,
            "PAUSE" => Self::Pause,
            "RESUME" => Self::Resume,
            "REMOVE" => Self::Remove,
            _ => {
                return Err(format!("no such QUEUE subcommand: {}", Excerpt(subcommand)));
            }
        };
        let names =
            names(words, QUEUE_NAMES_MAX).map_err(|error| error.to_string())?.ok_or_else(|| {
                let subcommand = subcommand.to_ascii_uppercase();
                format!("QUEUE {subcommand} takes at most {QUEUE_NAMES_MAX} queues")
            })?;
        if names.is_empty() {
            return Err(format!(
                "QUEUE {} needs the name of a queue",
                subcommand.to_ascii_uppercase()
            ));
        }
        if subcommand.eq_ignore_ascii_case("LATENCY")
            && names.first().is_some_and(|name| &**name == "*")
        {
            return Err("QUEUE LATENCY does not support wildcards".into());
        }
        Ok(make(names))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (word, names) = match self {
            Self::Latency(names) => ("LATENCY", names),
            Self::Pause(names) => ("PAUSE", names),
            Self::Resume(names) => ("RESUME", names),
            Self::Remove(names) => ("REMOVE", names),
        };
        out.extend_from_slice(word.as_bytes());
        for name in names {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
        }
    }
}
