//! `WF FETCH` and `WF ACK`: commands for many jobs. A work server that says so in its greeting
//! ([`Abilities::many`](crate::Abilities::many)) takes them.

use std::fmt;
use std::io::Write;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::excerpt::Excerpt;
use crate::names::FETCH_NAMES_MAX;
use crate::object_writer::{ObjectWriter, write_string};
use crate::word::Word;

/// The most jobs that one `WF FETCH` asks for.
pub const FETCH_JOBS_MAX: usize = 1_000;
/// The most jobs that one `WF ACK` ends.
pub const ACK_JOBS_MAX: usize = 1_000;

/// `WF FETCH`: hand out up to so many jobs, from the first of these queues that has one. The answer
/// holds the jobs, each on a line of its own, with the numbers of their reservations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchMany {
    /// The most jobs, from 1 to [`FETCH_JOBS_MAX`].
    pub most: usize,
    /// The queues, in the order in which they are looked at.
    pub queues: Vec<Word>,
}

/// A reservation whose job is done. Where there is no such reservation, nothing happens, so the
/// command may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DoneJob {
    /// The number of the reservation, which the answer to the fetch has told.
    pub reservation: u64,
    /// The id of the job.
    pub jid: String,
}

impl<'de> Deserialize<'de> for DoneJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (jid, reservation) = Deserialize::deserialize(deserializer)?;
        Ok(Self { reservation, jid })
    }
}

/// A list of at most `MAX` items. The bound holds while the list is read, so that no longer one is
/// ever built.
struct AtMost<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
            type Value = AtMost<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of 1 to {MAX}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MAX {
                        return Err(Error::invalid_length(MAX + 1, &self));
                    }
                    items.push(item);
                }
                if items.is_empty() {
                    return Err(Error::invalid_length(0, &self));
                }
                Ok(AtMost(items))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchPayload {
    n: usize,
    queues: AtMost<String, FETCH_NAMES_MAX>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckPayload {
    jobs: AtMost<DoneJob, ACK_JOBS_MAX>,
}

impl FetchMany {
    /// Reads what follows `WF FETCH `; the error is the text that a server answers with.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let fault = |what: &dyn fmt::Display| format!("invalid WF FETCH: {}", Excerpt(what));
        let FetchPayload { n, queues } =
            serde_json::from_slice(payload).map_err(|error| fault(&error))?;
        if !(1..=FETCH_JOBS_MAX).contains(&n) {
            return Err(fault(&format_args!("n is a number of jobs, 1 to {FETCH_JOBS_MAX}")));
        }
        let queues = queues.0.into_iter().map(Word::new).collect::<Result<_, _>>();
        Ok(Self { most: n, queues: queues.map_err(|error| fault(&error))? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"WF FETCH ");
        let mut object = ObjectWriter::new(out);
        object.number("n", self.most);
        object.member("queues", |out| {
            let mut separator = b'[';
            for name in &self.queues {
                out.push(separator);
                write_string(out, name);
                separator = b',';
            }
            out.push(b']');
        });
        object.end();
    }
}

/// Reads what follows `WF ACK `; the error is the text that a server answers with.
pub(crate) fn parse_ack(payload: &[u8]) -> Result<Vec<DoneJob>, String> {
    serde_json::from_slice(payload)
        .map(|AckPayload { jobs }| jobs.0)
        .map_err(|error| format!("invalid WF ACK: {}", Excerpt(error)))
}

/// A line `WF ACK` that is being written.
#[derive(Debug)]
pub struct AckLine {
    line: Vec<u8>,
    jobs: usize,
}

impl AckLine {
    /// A line with the reservation of this job and this number.
    #[must_use]
    pub fn new(jid: &str, reservation: u64) -> Self {
        let mut line = Self { line: b"WF ACK {\"jobs\":[".to_vec(), jobs: 0 };
        line.add(jid, reservation);
        line
    }

    /// Adds a reservation; at most [`ACK_JOBS_MAX`] may stand in a line.
    pub fn add(&mut self, jid: &str, reservation: u64) {
        self.line.extend_from_slice(if self.jobs == 0 { b"[" } else { b",[" });
        self.jobs += 1;
        write_string(&mut self.line, jid);
        // A write into memory can't fail.
        let _ = write!(self.line, ",{reservation}]");
    }

    /// True where another job of this id would make the line too long, or longer than these bytes.
    #[must_use]
    pub const fn is_full(&self, jid: &str, bytes: usize) -> bool {
        self.jobs >= ACK_JOBS_MAX || self.line.len() + jid.len() > bytes
    }

    /// The line, with its line ending.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.line.extend_from_slice(b"]}\r\n");
        self.line
    }
}

/// Appends a `WF ACK` of these jobs, with its line ending.
pub(crate) fn encode_ack(jobs: &[DoneJob], out: &mut Vec<u8>) {
    let mut line: Option<AckLine> = None;
    for DoneJob { jid, reservation } in jobs {
        match &mut line {
            Some(line) => line.add(jid, *reservation),
            None => line = Some(AckLine::new(jid, *reservation)),
        }
    }
    out.extend(line.map_or_else(|| b"WF ACK {\"jobs\":[]}\r\n".to_vec(), AckLine::finish));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_says_what_is_accepted() {
        let of = |payload: &str| FetchMany::parse(payload.as_bytes());
        let fetch = of(r#"{"n":1000,"queues":["a","b"]}"#).unwrap();
        assert_eq!((fetch.most, fetch.queues.len()), (1000, 2));
        let many = vec![r#""q""#; FETCH_NAMES_MAX + 1].join(",");
        for (payload, why) in [
            ("", "EOF"),
            ("{}", "missing field `n`"),
            (r#"{"n":0,"queues":["a"]}"#, "n is a number of jobs, 1 to 1000"),
            (r#"{"n":1001,"queues":["a"]}"#, "n is a number of jobs, 1 to 1000"),
            (r#"{"n":-1,"queues":["a"]}"#, "invalid value"),
            (r#"{"n":1,"queues":[]}"#, "a list of 1 to 1000"),
            (r#"{"n":1,"queues":["a b"]}"#, "must be one word"),
            (r#"{"n":1,"queues":["a"],"more":1}"#, "unknown field `more`"),
            (&format!(r#"{{"n":1,"queues":[{many}]}}"#), "a list of 1 to 1000"),
        ] {
            let error = of(payload).unwrap_err();
            assert!(error.starts_with("invalid WF FETCH: ") && error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_ack_says_what_is_accepted() {
        let of = |payload: &str| parse_ack(payload.as_bytes());
        let done = DoneJob { reservation: u64::MAX, jid: "a".into() };
        assert_eq!(of(r#"{"jobs":[["a",18446744073709551615]]}"#), Ok(vec![done]));
        let many = vec![r#"["a",1]"#; ACK_JOBS_MAX + 1].join(",");
        for (payload, why) in [
            ("", "EOF"),
            ("{}", "missing field `jobs`"),
            (r#"{"jobs":[]}"#, "a list of 1 to 1000"),
            (r#"{"jobs":["a"]}"#, "invalid type"),
            (r#"{"jobs":[["a"]]}"#, "invalid length 1"),
            (r#"{"jobs":[["a",-1]]}"#, "invalid value"),
            (r#"{"jobs":[["a",1,2]]}"#, "trailing characters"),
            (r#"{"jobs":[["a",1]],"more":1}"#, "unknown field `more`"),
            (&format!(r#"{{"jobs":[{many}]}}"#), "a list of 1 to 1000"),
        ] {
            let error = of(payload).unwrap_err();
            assert!(error.starts_with("invalid WF ACK: ") && error.contains(why), "{error}");
        }
    }
}
