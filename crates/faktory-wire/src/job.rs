//! A job as the wire carries it, and the rules of the work server for a job. How a job is read from
//! JSON is in `job/decode.rs`.

mod decode;

use crate::excerpt::Excerpt;
use crate::failure::Failure;
use crate::object_writer::ObjectWriter;
use crate::raw_json::RawJson;
use crate::timestamp::Timestamp;
pub(crate) use decode::Jobs as JobList;

/// The queue of a job that names no queue.
pub const DEFAULT_QUEUE: &str = "default";
/// The number of retries of a job that does not name one.
pub const DEFAULT_RETRY: i64 = 25;
/// The reservation of a job that does not name one, in seconds.
pub const DEFAULT_RESERVE_FOR: i64 = 1800;
/// The shortest reservation, in seconds; a shorter one is lengthened to it.
pub const RESERVE_FOR_MIN: i64 = 60;
/// The longest reservation, in seconds; a job with a longer one is refused.
pub const RESERVE_FOR_MAX: i64 = 86_400;

/// The most jobs that one PUSHB may carry. Faktory has no such bound, but it gives a command 5 s,
/// and 57,000 to 87,000 jobs take as long (measured).
pub const PUSH_JOBS_MAX: usize = 100_000;
/// About the bytes of the names of members, and of numbers and a time, in a job's JSON.
const MEMBERS_BYTES: usize = 128;

/// True where a work server accepts the name for a queue. The length of the name is not checked.
#[must_use]
pub fn is_queue_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// A job. Members that are absent or null in its JSON are empty or `None`. Unknown members are
/// dropped, as Faktory does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// The job's id.
    pub jid: String,
    /// The type of the job, by which a worker finds its handler.
    pub jobtype: String,
    /// The arguments of the handler: a JSON array, kept byte for byte.
    pub args: Option<RawJson>,
    /// The queue in which the job waits; [`DEFAULT_QUEUE`] where absent.
    pub queue: Option<String>,
    /// The number of retries after a failure; [`DEFAULT_RETRY`] where absent. A job with a negative
    /// number moves to the dead set at its first failure.
    pub retry: Option<i64>,
    /// Seconds for which a FETCH reserves the job; [`DEFAULT_RESERVE_FOR`] where absent or 0.
    pub reserve_for: Option<i64>,
    /// The time from which the job may run, RFC 3339.
    pub at: Option<String>,
    /// The time at which the job was made. No server checks the text.
    pub created_at: Option<String>,
    /// The time at which the job last entered its queue; written by the server.
    pub enqueued_at: Option<String>,
    /// Lines of a backtrace that the producer wants to be kept.
    pub backtrace: Option<i64>,
    /// Data of the producer that travels with the job: a JSON object.
    pub custom: Option<RawJson>,
    /// The record of the failures so far; written by the server.
    pub failure: Option<Failure>,
    /// The number of the job's reservation, as the reply to FETCH tells it to a client that
    /// understands it ([`Hello::wf`](crate::Hello::wf)). It is no part of the job: it is never
    /// written, and where it is no number it counts as absent.
    pub reservation: Option<u64>,
}

/// A text that can't be read as a job. The whole push that carries it is refused.
#[derive(Debug, thiserror::Error)]
#[error("invalid JSON: {}", Excerpt(.0))]
pub struct InvalidJob(#[from] serde_json::Error);

/// The reason for which a work server refuses a job. The texts are those of Faktory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The job has no id, or an id under 8 bytes.
    #[error("jobs must have a reasonable jid parameter")]
    Jid,
    /// The job has no type.
    #[error("jobs must have a jobtype parameter")]
    JobType,
    /// The job has no args.
    #[error("jobs must have an args parameter")]
    Args,
    /// The reservation is longer than a day.
    #[error("jobs cannot be reserved for more than one day")]
    ReserveFor,
    /// The due time is not a time.
    #[error(
        "invalid timestamp for 'at': \"{}\": parsing time: not RFC 3339 with a zone",
        Excerpt(.0)
    )]
    At(String),
    /// The queue name is empty or has a character that is not allowed.
    #[error(
        "cannot get \"{}\" queue: queue names must match \\A[a-zA-Z0-9._-]+\\z",
        Excerpt(.0)
    )]
    Queue(String),
}

impl Job {
    /// Reads one job. A null member counts as absent, the last of repeated members wins, and the
    /// names of members are case-sensitive.
    ///
    /// # Errors
    /// Where the text is not JSON, is not an object, or a known member has the wrong type.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidJob> {
        let job: Option<Self> = serde_json::from_slice(json)?;
        Ok(job.unwrap_or_default())
    }

    /// Reads an array of at most [`PUSH_JOBS_MAX`] jobs; null is an empty array.
    ///
    /// # Errors
    /// Where [`Job::parse`] fails for one of the jobs, or there are more jobs.
    pub fn parse_many(json: &[u8]) -> Result<Vec<Self>, InvalidJob> {
        let jobs: Option<JobList> = serde_json::from_slice(json)?;
        Ok(jobs.unwrap_or_default().0)
    }

    /// Applies the rules of the work server, in the order of Faktory, and returns the time at which
    /// the job is due.
    ///
    /// # Errors
    /// The first rule that the job breaks.
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

    /// The args as JSON text; an empty array for a job without args.
    #[must_use]
    pub fn args_json(&self) -> &str {
        self.args.as_ref().map_or("[]", RawJson::get)
    }

    /// Seconds for which a FETCH reserves the job, after defaults and bounds.
    #[must_use]
    pub fn effective_reserve_for(&self) -> u32 {
        let asked = self.reserve_for.filter(|seconds| *seconds != 0).unwrap_or(DEFAULT_RESERVE_FOR);
        u32::try_from(asked.clamp(RESERVE_FOR_MIN, RESERVE_FOR_MAX)).unwrap_or(u32::MAX)
    }

    /// About the bytes of [`Job::encode`], or a few more: what a buffer should have room for, so
    /// that a long job is not copied while the buffer grows.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let json = |json: &Option<RawJson>| json.as_ref().map_or(0, |json| json.get().len());
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        MEMBERS_BYTES
            + json(&self.custom)
            + json(&self.args)
            + self.jid.len()
            + self.jobtype.len()
            + text(&self.queue)
    }

    /// Appends the job as JSON on one line, with the members in the order of Faktory. Absent
    /// members are not written.
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
        if let Some(queue) = &self.queue {
            object.string("queue", queue);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(job: &Job) -> String {
        let mut out = Vec::new();
        job.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_null_member_is_absent_and_the_last_of_repeated_members_wins() {
        let json = r#"{"jid":"a","jid":"job-00000001","queue":null,"retry":null,"JID":"x",
            "args":[1],"args":[2]}"#;
        let job = Job::parse(json.as_bytes()).unwrap();
        assert_eq!(job.jid, "job-00000001");
        assert_eq!((job.queue, job.retry), (None, None));
        assert_eq!(job.args.unwrap().get(), "[2]");
    }

    #[test]
    fn a_buffer_of_the_foretold_size_need_not_grow() {
        let long = "x".repeat(10_000);
        for json in [
            r#"{"jid":"job-00000001","jobtype":"a"}"#.to_owned(),
            format!(
                r#"{{"jid":"job-00000001","jobtype":"{long}","queue":"{long}","args":["{long}"],
                "custom":{{"a":"{long}"}},"retry":25,"reserve_for":1800,
                "created_at":"2026-01-02T03:04:05.678901Z"}}"#
            ),
        ] {
            let job = Job::parse(json.as_bytes()).unwrap();
            let (foretold, bytes) = (job.encoded_bytes(), encoded(&job).len());
            assert!(bytes <= foretold && foretold < bytes + 200, "{bytes} {foretold}");
        }
    }

    #[test]
    fn the_number_of_a_reservation_is_read_and_never_written() {
        for (member, expected) in [
            ("7", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-7", None),
            (r#""else""#, None),
            (r#"{"a":[1]}"#, None),
            ("null", None),
        ] {
            let json = format!(r#"{{"jid":"12345678","reservation":{member}}}"#);
            let job = Job::parse(json.as_bytes()).unwrap();
            assert_eq!(job.reservation, expected, "{member}");
            assert!(!encoded(&job).contains("reservation"), "{member}");
        }
    }

    #[test]
    fn args_keep_every_byte() {
        let numbers = "9007199254740993,18446744073709551615,1.0,1e400,-0.0";
        let args = format!(r#"[{numbers},{{"b":1,"a":2}},"<&>\u0000\ud800"]"#);
        let json = format!(r#"{{"jid":"job-00000001","jobtype":"t","args":{args}}}"#);
        assert_eq!(Job::parse(json.as_bytes()).unwrap().args_json(), args);
    }

    #[test]
    fn a_parsed_job_is_encoded_with_the_same_bytes() {
        let json = [
            r#"{"retry":3,"failure":{"failed_at":"2026-01-02T03:04:05.000000Z","#,
            r#""next_at":"2026-01-02T03:04:05.000000Z","message":"m","errtype":"E","#,
            r#""backtrace":["l1"],"retry_count":0,"remaining":2},"custom":{"k":"v"},"#,
            r#""jid":"job-00000002","queue":"q2","jobtype":"t","#,
            r#""created_at":"2026-01-02T03:04:05Z","enqueued_at":"2026-01-02T03:04:05Z","#,
            r#""at":"2100-01-01T00:00:00Z","args":[1],"reserve_for":600,"backtrace":5}"#,
        ]
        .concat();
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
    fn the_first_broken_rule_in_the_order_of_faktory_is_reported() {
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
    fn the_reservation_is_kept_within_its_bounds() {
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
