//! `WF PUSHB`: a push whose jobs are stored once, however often it is sent. A work server that says
//! so in its greeting ([`Abilities::once`](crate::Abilities::once)) remembers the ids of its jobs.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::job::{Job, JobList, PUSH_JOBS_MAX};
use crate::object_writer::{ObjectWriter, write_json};
use crate::push::{encoded, push_jobs};

/// The refusal of a job whose id was used for a job with other contents.
pub const JOB_ID_REUSED: &str = "job id reused: a job with this id and other contents was stored";
/// The refusal of the jobs of a group whose key was used with other contents.
pub const KEY_REUSED: &str = "idempotency key reused: the key was used with other contents";

/// The most bytes in each text of a group.
pub const GROUP_TEXT_BYTES_MAX: usize = 128;

/// The jobs of a `WF PUSHB`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushOnce {
    /// What holds for how many of the jobs, in their order. Without groups, nothing special holds
    /// for any of them.
    pub groups: Vec<PushGroup>,
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// What holds for some jobs of a push that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushGroup {
    /// The number of jobs.
    pub jobs: usize,
    /// Whose ids they are: the same id of two callers is two ids.
    #[serde(rename = "by", skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The seconds for which their ids are remembered, where that is less than the work server
    /// remembers ids.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// The key under which they are pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<OnceKey>,
}

/// A key under which jobs are pushed: with the same contents as often as wanted, never with other
/// contents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnceKey {
    /// The key.
    pub id: String,
    /// A hash of the contents.
    pub hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    #[serde(default, deserialize_with = "read_groups")]
    groups: Vec<PushGroup>,
    jobs: JobList,
}

/// An array of groups, of which each has a job. The bound holds while the array is read.
fn read_groups<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PushGroup>, D::Error> {
    struct Groups;

    impl<'de> Visitor<'de> for Groups {
        type Value = Vec<PushGroup>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of groups")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut groups = Vec::new();
            while let Some(group) = seq.next_element::<PushGroup>()? {
                if group.jobs == 0 || groups.len() == PUSH_JOBS_MAX {
                    return Err(A::Error::custom(format_args!(
                        "each group has a job or more, and a push at most {PUSH_JOBS_MAX} groups"
                    )));
                }
                groups.push(group);
            }
            Ok(groups)
        }
    }

    deserializer.deserialize_seq(Groups)
}

impl PushGroup {
    fn has_short_texts(&self) -> bool {
        let Self { caller, key, .. } = self;
        let of_key = key.iter().flat_map(|key| [&key.id, &key.hash]);
        caller.iter().chain(of_key).all(|text| text.len() <= GROUP_TEXT_BYTES_MAX)
    }
}

impl PushOnce {
    /// Reads what follows `WF PUSHB `; the error is the text that a server answers with.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let read = serde_json::from_slice::<Payload>(payload);
        let Payload { groups, jobs } =
            read.map_err(|error| format!("invalid JSON: {}", crate::Excerpt(error)))?;
        let jobs = jobs.0;
        let of_groups = groups.iter().try_fold(0_usize, |sum, group| sum.checked_add(group.jobs));
        if !groups.is_empty() && of_groups != Some(jobs.len()) {
            return Err("invalid JSON: the groups have not as many jobs as the push".into());
        }
        if !groups.iter().all(PushGroup::has_short_texts) {
            return Err(format!(
                "invalid JSON: a text of a group has more than {GROUP_TEXT_BYTES_MAX} bytes"
            ));
        }
        Ok(Self { groups, jobs })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let jobs = encoded(&self.jobs);
        encode_push_once(&self.groups, jobs.iter().map(Vec::as_slice), out);
    }
}

/// Appends a `WF PUSHB`. Each job is given as JSON, as in [`encode_pushb`](crate::encode_pushb).
pub fn encode_push_once<'a>(
    groups: &[PushGroup],
    jobs: impl IntoIterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"WF PUSHB ");
    let mut object = ObjectWriter::new(out);
    if !groups.is_empty() {
        object.member("groups", |out| write_json(out, &groups));
    }
    object.member("jobs", |out| push_jobs(jobs, out));
    object.end();
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_for_all_jobs_or_for_none() {
        let of = |groups: &str| {
            let job = r#"{"jid":"job-00000001"}"#;
            PushOnce::parse(format!(r#"{{{groups}"jobs":[{job},{job}]}}"#).as_bytes())
        };
        assert_eq!(of("").unwrap().groups, []);
        let groups = of(r#""groups":[{"jobs":1,"by":"a","for":60},{"jobs":1}],"#).unwrap().groups;
        assert_eq!((groups[0].caller.as_deref(), groups[0].seconds), (Some("a"), Some(60)));
        for (bad, why) in [
            (r#""groups":[{"jobs":1}],"#.to_owned(), "not as many jobs"),
            (format!(r#""groups":[{{"jobs":{}}},{{"jobs":3}}],"#, usize::MAX), "not as many"),
            (r#""groups":[{"jobs":2},{"jobs":0}],"#.to_owned(), "a job or more"),
            (r#""groups":[{},{"jobs":2}],"#.to_owned(), "a job or more"),
            (r#""groups":[{"jobs":2,"to":1}],"#.to_owned(), "unknown field"),
            (r#""group":[],"#.to_owned(), "unknown field"),
            (format!(r#""groups":[{{"jobs":2,"by":"{}"}}],"#, "x".repeat(129)), "128 bytes"),
        ] {
            let error = of(&bad).unwrap_err();
            assert!(error.starts_with("invalid JSON: ") && error.contains(why), "{error}");
        }
    }
}
