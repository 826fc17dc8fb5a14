//! A job as it travels, and the work server's rules for one.

use std::fmt;
use std::io::Write;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;
use crate::raw_json::RawJson;
use crate::timestamp::Timestamp;

/// The queue of a job that names none.
pub const DEFAULT_QUEUE: &str = "default";
/// How often a failed job is tried again where it does not say.
pub const DEFAULT_RETRY: i64 = 25;
/// Seconds for which a fetched job is reserved where it does not say.
pub const DEFAULT_RESERVE_FOR: i64 = 1800;
/// The shortest effective reservation, in seconds; less is taken as this.
pub const RESERVE_FOR_MIN: i64 = 60;
/// The longest reservation, in seconds; more is refused.
pub const RESERVE_FOR_MAX: i64 = 86_400;

/// Jobs in one PUSHB at the most. Faktory takes more and then runs out of the 5 s that it has for a
/// command (at about 57,000 to 87,000 jobs, measured).
pub const PUSH_JOBS_MAX: usize = 100_000;

/// True for a name that a work server takes for a queue; how long it is does not matter here.
#[must_use]
pub fn is_queue_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// One job. Members that were absent, or null, are empty or `None`; unknown members are not kept,
/// as with Faktory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// The job's id.
    pub jid: String,
    /// What to run.
    pub jobtype: String,
    /// What to run it with: a JSON array, kept byte for byte.
    pub args: Option<RawJson>,
    /// Where it waits; [`DEFAULT_QUEUE`] where absent.
    pub queue: Option<String>,
    /// How often it is tried again; [`DEFAULT_RETRY`] where absent, negative: straight to the dead
    /// set.
    pub retry: Option<i64>,
    /// Seconds for which a fetch reserves it; [`DEFAULT_RESERVE_FOR`] where absent or 0.
    pub reserve_for: Option<i64>,
    /// When it is due, RFC 3339.
    pub at: Option<String>,
    /// When it was made; not checked by anyone.
    pub created_at: Option<String>,
    /// When it last came into its queue; written by the server.
    pub enqueued_at: Option<String>,
    /// Lines of backtrace that its sender wants kept.
    pub backtrace: Option<i64>,
    /// Anything its sender wants carried along: a JSON object.
    pub custom: Option<RawJson>,
    /// How it failed last; written by the server.
    pub failure: Option<Failure>,
}

/// Text that is no job at all, so that a whole push is refused.
#[derive(Debug, thiserror::Error)]
#[error("invalid JSON: {0}")]
pub struct InvalidJob(#[from] serde_json::Error);

/// Why a work server refuses a job; the texts are Faktory's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// No id, or one under 8 bytes.
    #[error("jobs must have a reasonable jid parameter")]
    Jid,
    /// No job type.
    #[error("jobs must have a jobtype parameter")]
    JobType,
    /// No args.
    #[error("jobs must have an args parameter")]
    Args,
    /// A reservation over a day.
    #[error("jobs cannot be reserved for more than one day")]
    ReserveFor,
    /// A due time that is none.
    #[error("invalid timestamp for 'at': \"{0}\": parsing time: not RFC 3339 with a zone")]
    At(String),
    /// A queue name with other characters than allowed, or none.
    #[error("cannot get \"{0}\" queue: queue names must match \\A[a-zA-Z0-9._-]+\\z")]
    Queue(String),
}

impl Job {
    /// Reads one job: null is absent, the last of repeated names wins, names are exact.
    ///
    /// # Errors
    /// Where the text is not JSON, no object, or a known member has another type than it must.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidJob> {
        let job: Option<Self> = serde_json::from_slice(json)?;
        Ok(job.unwrap_or_default())
    }

    /// Reads an array of jobs, [`PUSH_JOBS_MAX`] at the most; null is an empty one.
    ///
    /// # Errors
    /// As [`Job::parse`], for the whole array; and where there are more.
    pub fn parse_many(json: &[u8]) -> Result<Vec<Self>, InvalidJob> {
        let jobs: Option<Jobs> = serde_json::from_slice(json)?;
        Ok(jobs.unwrap_or_default().0)
    }

    /// Applies the work server's rules, in the order in which Faktory does, and returns when the
    /// job is due.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<Option<Timestamp>, JobError> {
        if self.jid.len() < 8 {
            return Err(JobError::Jid);
        }
        if self.jobtype.is_empty() {
            return Err(JobError::JobType);
        }
        if self.args.is_none() {
            return Err(JobError::Args);
        }
        if self.reserve_for.unwrap_or(0) > RESERVE_FOR_MAX {
            return Err(JobError::ReserveFor);
        }
        let due = match self.at.as_deref() {
            None | Some("") => None,
            Some(text) => Some(Timestamp::parse(text).map_err(|_| JobError::At(text.into()))?),
        };
        let queue = self.queue_name();
        if !is_queue_name(queue) {
            return Err(JobError::Queue(queue.into()));
        }
        Ok(due)
    }

    /// The queue in which the job waits.
    #[must_use]
    pub fn queue_name(&self) -> &str {
        self.queue.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_QUEUE)
    }

    /// The args as JSON text; an empty array where there are none.
    #[must_use]
    pub fn args_json(&self) -> &str {
        self.args.as_ref().map_or("[]", RawJson::get)
    }

    /// Seconds for which a fetch really reserves the job.
    #[must_use]
    pub fn effective_reserve_for(&self) -> u32 {
        let asked = self.reserve_for.filter(|seconds| *seconds != 0).unwrap_or(DEFAULT_RESERVE_FOR);
        u32::try_from(asked.clamp(RESERVE_FOR_MIN, RESERVE_FOR_MAX)).unwrap_or(u32::MAX)
    }

    /// Appends the job as JSON on one line, with Faktory's order of members. What is absent is not
    /// written.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut object = ObjectWriter::new(out);
        if let Some(retry) = self.retry {
            object.number("retry", retry);
        }
        if let Some(failure) = &self.failure {
            object.member("failure", |out| failure.encode(out));
        }
        if let Some(custom) = &self.custom {
            object.member("custom", |out| custom.write_on_one_line(out));
        }
        object.string("jid", &self.jid);
        for (name, value) in [("queue", &self.queue)] {
            if let Some(value) = value {
                object.string(name, value);
            }
        }
        object.string("jobtype", &self.jobtype);
        for (name, value) in
            [("created_at", &self.created_at), ("enqueued_at", &self.enqueued_at), ("at", &self.at)]
        {
            if let Some(value) = value {
                object.string(name, value);
            }
        }
        if let Some(args) = &self.args {
            object.member("args", |out| args.write_on_one_line(out));
        }
        if let Some(seconds) = self.reserve_for {
            object.number("reserve_for", seconds);
        }
        if let Some(lines) = self.backtrace {
            object.number("backtrace", lines);
        }
        object.end();
    }
}

/// Writes the members of an object; values that are JSON already go in as they are.
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> ObjectWriter<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    pub(crate) fn member(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        write(self.out);
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        self.member(name, |out| write_string(out, value));
    }

    pub(crate) fn number(&mut self, name: &str, value: impl fmt::Display) {
        // Into memory, which can't fail.
        self.member(name, |out| drop(write!(out, "{value}")));
    }

    pub(crate) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// Appends a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, value: &str) {
    let start = out.len();
    // A string into memory can't fail; were it to, an empty one keeps the line whole.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}

impl<'de> Deserialize<'de> for Job {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JobVisitor)
    }
}

/// An array of jobs, bounded while it is read.
#[derive(Default)]
struct Jobs(Vec<Job>);

impl<'de> Deserialize<'de> for Jobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JobsVisitor;

        impl<'de> Visitor<'de> for JobsVisitor {
            type Value = Jobs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of jobs")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Jobs, A::Error> {
                let mut jobs = Vec::new();
                while let Some(job) = seq.next_element::<Option<Job>>()? {
                    if jobs.len() == PUSH_JOBS_MAX {
                        return Err(serde::de::Error::custom(format_args!(
                            "more than {PUSH_JOBS_MAX} jobs in one push"
                        )));
                    }
                    jobs.push(job.unwrap_or_default());
                }
                Ok(Jobs(jobs))
            }
        }

        deserializer.deserialize_seq(JobsVisitor)
    }
}

/// By hand, because the derived one refuses repeated names.
struct JobVisitor;

impl<'de> Visitor<'de> for JobVisitor {
    type Value = Job;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a job object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Job, A::Error> {
        let mut job = Job::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match name.as_ref() {
                "jid" => job.jid = map.next_value::<Option<String>>()?.unwrap_or_default(),
                "jobtype" => job.jobtype = map.next_value::<Option<String>>()?.unwrap_or_default(),
                "args" => job.args = container::<A>(&mut map, '[', "an array")?,
                "queue" => job.queue = map.next_value()?,
                "retry" => job.retry = map.next_value()?,
                "reserve_for" => job.reserve_for = map.next_value()?,
                "at" => job.at = map.next_value()?,
                "created_at" => job.created_at = map.next_value()?,
                "enqueued_at" => job.enqueued_at = map.next_value()?,
                "backtrace" => job.backtrace = map.next_value()?,
                "custom" => job.custom = container::<A>(&mut map, '{', "an object")?,
                "failure" => job.failure = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        job.custom = job.custom.filter(|custom| !custom.is_empty_container());
        Ok(job)
    }
}

fn container<'de, A: MapAccess<'de>>(
    map: &mut A,
    first: char,
    kind: &str,
) -> Result<Option<RawJson>, A::Error> {
    let raw: Option<RawJson> = map.next_value()?;
    match raw {
        Some(raw) if !raw.starts_with(first) => {
            Err(serde::de::Error::custom(format_args!("expected {kind}")))
        }
        raw => Ok(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(job: &Job) -> String {
        let mut out = Vec::new();
        job.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn null_is_absent_and_the_last_of_repeated_names_wins() {
        let job = Job::parse(br#"{"jid":"a","jid":"job-00000001","queue":null,"retry":null,"JID":"x","args":[1],"args":[2]}"#).unwrap();
        assert_eq!(job.jid, "job-00000001");
        assert_eq!((job.queue, job.retry), (None, None));
        assert_eq!(job.args.unwrap().get(), "[2]");
    }

    #[test]
    fn args_keep_every_byte() {
        let args = r#"[9007199254740993,18446744073709551615,1.0,1e400,-0.0,{"b":1,"a":2},"<&>\u0000\ud800"]"#;
        let json = format!(r#"{{"jid":"job-00000001","jobtype":"t","args":{args}}}"#);
        assert_eq!(Job::parse(json.as_bytes()).unwrap().args_json(), args);
    }

    #[test]
    fn what_is_parsed_is_encoded_the_same() {
        let json = r#"{"retry":3,"failure":{"failed_at":"2026-01-02T03:04:05.000000Z","next_at":"2026-01-02T03:04:05.000000Z","message":"m","errtype":"E","backtrace":["l1"],"retry_count":0,"remaining":2},"custom":{"k":"v"},"jid":"job-00000002","queue":"q2","jobtype":"t","created_at":"2026-01-02T03:04:05Z","enqueued_at":"2026-01-02T03:04:05Z","at":"2100-01-01T00:00:00Z","args":[1],"reserve_for":600,"backtrace":5}"#;
        assert_eq!(encoded(&Job::parse(json.as_bytes()).unwrap()), json);
    }

    #[test]
    fn a_member_of_the_wrong_type_refuses_the_job() {
        for member in [
            r#""args":{}"#,
            r#""args":"x""#,
            r#""custom":7"#,
            r#""retry":"5""#,
            r#""retry":1.5"#,
            r#""reserve_for":1.5"#,
            r#""jid":7"#,
            r#""at":7"#,
        ] {
            let json = format!(r#"{{"jid":"12345678","jobtype":"t",{member}}}"#);
            assert!(Job::parse(json.as_bytes()).is_err(), "{member}");
        }
    }

    #[test]
    fn rules_apply_in_the_order_of_the_server() {
        let check = |json: &str| Job::parse(json.as_bytes()).unwrap().check();
        assert_eq!(check("null"), Err(JobError::Jid));
        assert_eq!(check(r#"{"jid":"1234567"}"#), Err(JobError::Jid));
        assert_eq!(check(r#"{"jid":"12345678","at":"tomorrow"}"#), Err(JobError::JobType));
        assert_eq!(
            check(r#"{"jid":"12345678","jobtype":"t","reserve_for":86401}"#),
            Err(JobError::Args)
        );
        assert_eq!(
            check(r#"{"jid":"12345678","jobtype":"t","args":[],"reserve_for":86401,"at":"x"}"#),
            Err(JobError::ReserveFor)
        );
        assert_eq!(
            check(r#"{"jid":"12345678","jobtype":"t","args":[],"at":"x","queue":"a b"}"#),
            Err(JobError::At("x".into()))
        );
        assert_eq!(
            check(r#"{"jid":"12345678","jobtype":"t","args":[],"queue":"a b"}"#),
            Err(JobError::Queue("a b".into()))
        );
        assert_eq!(check(r#"{"jid":"éééé","jobtype":"t","args":[],"queue":""}"#), Ok(None));
    }

    #[test]
    fn the_effective_reservation_is_clamped() {
        let seconds = |reserve_for| Job { reserve_for, ..Job::default() }.effective_reserve_for();
        assert_eq!(
            [
                seconds(None),
                seconds(Some(0)),
                seconds(Some(1)),
                seconds(Some(-5)),
                seconds(Some(600))
            ],
            [1800, 1800, 60, 60, 600]
        );
    }
}
