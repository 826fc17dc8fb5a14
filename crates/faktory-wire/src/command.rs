//! Commands, read from a line and written as a line. All verbs are listed here.

use std::collections::HashMap;

use crate::beat::Beat;
use crate::excerpt::Excerpt;
use crate::failure::FailReport;
use crate::job::Job;
use crate::line::LineTooLong;
use crate::many::{self, DoneJob, FetchMany};
use crate::mutation::Mutation;
use crate::names::{FETCH_NAMES_MAX, names};
use crate::object_writer::ObjectWriter;
use crate::push::{encode_pushb, encoded};
use crate::push_once::PushOnce;
use crate::queue_command::QueueCommand;
use crate::requeue::Requeue;
use crate::word::Word;

/// The most bytes behind the verb of a command that carries no jobs, no failure and no list of
/// ids. Faktory has no such bound; clients send under a thousandth of it.
pub const SHORT_PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// A command of a client, as it may follow the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `END`: the client sends nothing more. There is no reply.
    End,
    /// `PUSH`: store one job.
    Push(Box<Job>),
    /// `PUSHB`: store several jobs. The answer is a map of the jobs that were refused.
    PushBulk(Vec<Job>),
    /// `WF PUSHB`: store several jobs whose ids are remembered, and no job whose id is. The answer
    /// is that of `PUSHB`.
    PushOnce(PushOnce),
    /// `FETCH`: hand out a job, from the first of these queues that has one.
    Fetch(Vec<Word>),
    /// `WF FETCH`: hand out several jobs.
    FetchMany(FetchMany),
    /// `ACK`: the job with this id is done.
    Ack(String),
    /// `WF ACK`: the jobs of these reservations are done.
    AckMany(Vec<DoneJob>),
    /// `WF REQUEUE`: a job goes back to its queue, or is due later.
    Requeue(Requeue),
    /// `FAIL`: a job failed.
    Fail(Box<FailReport>),
    /// `BEAT`: a worker is alive.
    Beat(Beat),
    /// `INFO`: report counts, sizes of queues and sets, and the state of the server.
    Info,
    /// `FLUSH`: delete every job and queue.
    Flush,
    /// `MUTATE`: move or delete jobs of a set.
    Mutate(Mutation),
    /// `QUEUE`: pause, resume or remove queues, or report their latency.
    Queue(QueueCommand),
}

/// The reason why a line is no command. The server answers with this text after `-ERR`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);

impl CommandError {
    /// An error with this text, which a client is told after `-ERR`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<LineTooLong> for CommandError {
    fn from(error: LineTooLong) -> Self {
        Self(error.to_string())
    }
}

impl Command {
    /// Reads a command from a line without its line ending.
    ///
    /// # Errors
    /// Where the line is no command; the error is the text that a server answers with.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let space = line.iter().position(|byte| *byte == b' ');
        let (verb, payload) = match space {
            Some(at) => {
                (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default())
            }
            None => (line, [].as_slice()),
        };
        let fault = |text: String| Err(CommandError(text));
        let echo = || Excerpt::of_bytes(payload);
        if payload.len() > SHORT_PAYLOAD_BYTES_MAX
            && let b"FETCH" | b"ACK" | b"BEAT" | b"QUEUE" = verb
        {
            let verb = String::from_utf8_lossy(verb);
            return fault(format!("{verb} takes at most {SHORT_PAYLOAD_BYTES_MAX} bytes"));
        }
        match verb {
            b"END" => Ok(Self::End),
            b"PUSH" => Job::parse(payload)
                .map(|job| Self::Push(Box::new(job)))
                .or_else(|error| fault(error.to_string())),
            b"PUSHB" => Job::parse_many(payload)
                .map(Self::PushBulk)
                .or_else(|error| fault(error.to_string())),
            b"FETCH" => fetch(payload),
            b"ACK" => ack(payload)
                .map_or_else(|| fault(format!("invalid ACK {}", echo())), |jid| Ok(Self::Ack(jid))),
            b"FAIL" => match serde_json::from_slice::<FailReport>(payload) {
                Ok(report) if report.jid.is_empty() => fault("missing JID".into()),
                Ok(report) => Ok(Self::Fail(Box::new(report))),
                Err(_) => fault(format!("invalid FAIL {}", echo())),
            },
            b"BEAT" => serde_json::from_slice(payload)
                .map(Self::Beat)
                .or_else(|_| fault(format!("invalid BEAT {}", echo()))),
            b"INFO" => Ok(Self::Info),
            b"FLUSH" => Ok(Self::Flush),
            b"MUTATE" => Mutation::parse(payload).map(Self::Mutate).or_else(fault),
            b"QUEUE" => QueueCommand::parse(&String::from_utf8_lossy(payload))
                .map(Self::Queue)
                .or_else(fault),
            b"WF" => beyond_faktory(payload).or_else(fault),
            b"TRACK" => fault("tracking subsystem is only available in Faktory Enterprise".into()),
            b"BATCH" => fault("batch subsystem is only available in Faktory Enterprise".into()),
            unknown => fault(format!("unknown command {}", Excerpt::of_bytes(unknown))),
        }
    }

    /// Appends the command as a line, with its line ending. Whatever texts the command holds, it
    /// is one line: texts are escaped as JSON, names of queues are [`Word`]s.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::End => out.extend_from_slice(b"END"),
            Self::Push(job) => {
                out.extend_from_slice(b"PUSH ");
                job.encode(out);
            }
            Self::PushBulk(jobs) => {
                let jobs = encoded(jobs);
                encode_pushb(jobs.iter().map(Vec::as_slice), out);
                return;
            }
            Self::PushOnce(push) => {
                push.encode(out);
                return;
            }
            Self::Fetch(queues) => {
                out.extend_from_slice(b"FETCH");
                for queue in queues {
                    out.push(b' ');
                    out.extend_from_slice(queue.as_bytes());
                }
            }
            Self::Ack(jid) => {
                out.extend_from_slice(b"ACK ");
                let mut object = ObjectWriter::new(out);
                object.string("jid", jid);
                object.end();
            }
            Self::FetchMany(fetch) => fetch.encode(out),
            Self::AckMany(jobs) => {
                many::encode_ack(jobs, out);
                return;
            }
            Self::Requeue(requeue) => requeue.encode(out),
            Self::Fail(report) => json_command(b"FAIL ", report, out),
            Self::Beat(beat) => json_command(b"BEAT ", beat, out),
            Self::Info => out.extend_from_slice(b"INFO"),
            Self::Flush => out.extend_from_slice(b"FLUSH"),
            Self::Mutate(mutation) => {
                out.extend_from_slice(b"MUTATE ");
                mutation.encode(out);
            }
            Self::Queue(command) => {
                out.extend_from_slice(b"QUEUE ");
                command.encode(out);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The jobs of a push of several.
    #[must_use]
    pub fn bulk(&self) -> Option<&[Job]> {
        match self {
            Self::PushBulk(jobs) | Self::PushOnce(PushOnce { jobs, .. }) => Some(jobs),
            _ => None,
        }
    }

    /// The command as a line, with its line ending.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        self.encode(&mut line);
        line
    }
}

fn json_command(verb: &[u8], payload: &impl serde::Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(verb);
    out.extend(serde_json::to_vec(payload).unwrap_or_default());
}

/// A command that Faktory does not have: it stands behind `WF`.
fn beyond_faktory(payload: &[u8]) -> Result<Command, String> {
    let space = payload.iter().position(|byte| *byte == b' ').unwrap_or(payload.len());
    let (verb, payload) = payload.split_at(space);
    match verb {
        b"PUSHB" => PushOnce::parse(payload).map(Command::PushOnce),
        b"FETCH" | b"ACK" | b"REQUEUE" if payload.len() > SHORT_PAYLOAD_BYTES_MAX => {
            let verb = String::from_utf8_lossy(verb);
            Err(format!("WF {verb} takes at most {SHORT_PAYLOAD_BYTES_MAX} bytes"))
        }
        b"FETCH" => FetchMany::parse(payload).map(Command::FetchMany),
        b"ACK" => many::parse_ack(payload).map(Command::AckMany),
        b"REQUEUE" => Requeue::parse(payload).map(Command::Requeue),
        unknown => Err(format!("unknown command WF {}", Excerpt::of_bytes(unknown))),
    }
}

fn fetch(payload: &[u8]) -> Result<Command, CommandError> {
    let text = String::from_utf8_lossy(payload);
    let queues = names(text.split(' '), FETCH_NAMES_MAX)
        .map_err(|error| CommandError(error.to_string()))?
        .ok_or_else(|| CommandError(format!("FETCH takes at most {FETCH_NAMES_MAX} queues")))?;
    if queues.is_empty() {
        return Err(CommandError("must call fetch with at least one queue".into()));
    }
    Ok(Command::Fetch(queues))
}

/// The job id of an ACK: a map of texts with the member `jid`. A member that is no text makes the
/// command invalid, as with Faktory.
fn ack(payload: &[u8]) -> Option<String> {
    let mut members: HashMap<String, Option<String>> = serde_json::from_slice(payload).ok()?;
    members.remove("jid").map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::{Filter, MutationKind, TargetSet};
    use crate::push_once::{OnceKey, PushGroup};
    use crate::raw_json::RawJson;
    use crate::timestamp::Timestamp;

    #[test]
    fn every_command_is_read_back_from_its_own_line() {
        let job = Job {
            jid: "job-00000001".into(),
            jobtype: "t".into(),
            args: Some(RawJson::parse("[1]").unwrap()),
            ..Job::default()
        };
        let filter = Filter { jids: Some(vec!["a b".into()]), ..Filter::default() };
        for command in [
            Command::End,
            Command::Push(Box::new(job.clone())),
            Command::PushBulk(vec![job.clone(), job.clone()]),
            Command::PushOnce(PushOnce { groups: Vec::new(), jobs: vec![job.clone()] }),
            Command::PushOnce(PushOnce {
                groups: vec![PushGroup {
                    jobs: 1,
                    caller: Some("a".into()),
                    seconds: Some(60),
                    key: Some(OnceKey { id: "k\n".into(), hash: "h".into() }),
                }],
                jobs: vec![job],
            }),
            Command::PushBulk(vec![]),
            Command::Fetch(vec![Word::new("a").unwrap(), Word::new("b").unwrap()]),
            Command::FetchMany(FetchMany { most: 7, queues: vec![Word::new("é\"").unwrap()] }),
            Command::Ack("quote\"newline\n".into()),
            Command::AckMany(vec![
                DoneJob { reservation: 0, jid: "a\n".into() },
                DoneJob { reservation: u64::MAX, jid: "b".into() },
            ]),
            Command::Requeue(Requeue { jid: "a\n".into(), reservation: u64::MAX, at: None }),
            Command::Requeue(Requeue {
                jid: "j".into(),
                reservation: 1,
                at: Some(Timestamp::from_micros(1)),
            }),
            Command::Fail(Box::new(FailReport {
                jid: "j".into(),
                errtype: "E".into(),
                message: "m\n".into(),
                backtrace: vec!["l".into()],
            })),
            Command::Beat(Beat { wid: "w".into(), current_state: None, rss_kb: Some(5) }),
            Command::Info,
            Command::Flush,
            Command::Mutate(Mutation {
                kind: MutationKind::Kill,
                target: TargetSet::Retries,
                filter,
            }),
            Command::Queue(QueueCommand::Pause(vec![Word::new("*").unwrap()])),
        ] {
            let line = command.to_line();
            let body = line.strip_suffix(b"\r\n").unwrap();
            assert!(!body.contains(&b'\n'), "{command:?}");
            assert_eq!(Command::parse(body).as_ref(), Ok(&command));
        }
    }

    #[test]
    fn a_command_with_too_many_names_or_ids_or_bytes_is_refused_with_the_limit() {
        let many = |count: usize| " q".repeat(count);
        let ids = |count: usize| vec![r#""job-00000001""#; count].join(",");
        let mutate = |count| {
            format!(
                r#"MUTATE {{"cmd":"kill","target":"dead","filter":{{"jids":[{}]}}}}"#,
                ids(count)
            )
        };
        let long = "x".repeat(SHORT_PAYLOAD_BYTES_MAX + 1);
        for (line, refusal) in [
            (format!("FETCH{}", many(1_000)), None),
            (format!("FETCH{}", many(1_001)), Some("FETCH takes at most 1000 queues")),
            (format!("QUEUE LATENCY{}", many(10_000)), None),
            (
                format!("QUEUE LATENCY{}", many(10_001)),
                Some("QUEUE LATENCY takes at most 10000 queues"),
            ),
            (mutate(100_000), None),
            (mutate(100_001), Some("more than 100000 ids in one MUTATE")),
            (format!("FETCH {long}"), Some("FETCH takes at most 1048576 bytes")),
            (format!("ACK {long}"), Some("ACK takes at most 1048576 bytes")),
            (format!("BEAT {long}"), Some("BEAT takes at most 1048576 bytes")),
            (format!("WF FETCH {long}"), Some("WF FETCH takes at most 1048576 bytes")),
            (format!("WF ACK {long}"), Some("WF ACK takes at most 1048576 bytes")),
            (format!("WF REQUEUE {long}"), Some("WF REQUEUE takes at most 1048576 bytes")),
            (format!("QUEUE PAUSE {long}"), Some("QUEUE takes at most 1048576 bytes")),
        ] {
            let error = Command::parse(line.as_bytes()).err().map(|error| error.to_string());
            let same = match (&error, refusal) {
                (Some(error), Some(refusal)) => error.contains(refusal),
                (error, refusal) => error.is_none() && refusal.is_none(),
            };
            assert!(same, "{error:?}, expected {refusal:?}");
        }
    }

    #[test]
    fn a_huge_or_hostile_verb_gets_a_short_error_on_one_line() {
        let mut line = vec![b'x'; 1_000_000];
        line[1] = b'\r';
        let text = Command::parse(&line).unwrap_err().to_string();
        assert!(text.len() < 300 && !text.contains('\r'));
    }
}
