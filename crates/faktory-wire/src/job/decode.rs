//! A job read from JSON, with Faktory's rules for null, repeated names and unknown members.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Job, PUSH_JOBS_MAX};
use crate::raw_json::RawJson;

impl<'de> Deserialize<'de> for Job {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(JobVisitor)
    }
}

/// An array of jobs. The bound holds while the array is read, so that no larger one is ever built.
#[derive(Default)]
pub(crate) struct Jobs(pub(crate) Vec<Job>);

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

/// The name of a member of a job.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Jid,
    Jobtype,
    Args,
    Queue,
    Retry,
    ReserveFor,
    At,
    CreatedAt,
    EnqueuedAt,
    Backtrace,
    Custom,
    Failure,
    Reservation,
    #[serde(other)]
    Other,
}

/// Reads the members of a job. Written by hand, because a derived decoder refuses repeated names.
struct JobVisitor;

impl<'de> Visitor<'de> for JobVisitor {
    type Value = Job;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a job object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Job, A::Error> {
        let mut job = Job::default();
        while let Some(member) = map.next_key()? {
            match member {
                Member::Jid => job.jid = map.next_value::<Option<String>>()?.unwrap_or_default(),
                Member::Jobtype => {
                    job.jobtype = map.next_value::<Option<String>>()?.unwrap_or_default()
                }
                Member::Args => job.args = container::<A>(&mut map, '[', "an array")?,
                Member::Queue => job.queue = map.next_value()?,
                Member::Retry => job.retry = map.next_value()?,
                Member::ReserveFor => job.reserve_for = map.next_value()?,
                Member::At => job.at = map.next_value()?,
                Member::CreatedAt => job.created_at = map.next_value()?,
                Member::EnqueuedAt => job.enqueued_at = map.next_value()?,
                Member::Backtrace => job.backtrace = map.next_value()?,
                Member::Custom => job.custom = container::<A>(&mut map, '{', "an object")?,
                Member::Failure => job.failure = map.next_value()?,
                Member::Reservation => {
                    let raw: Option<RawJson> = map.next_value()?;
                    job.reservation = raw.and_then(|raw| raw.get().parse().ok());
                }
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        job.custom = job.custom.filter(|custom| !custom.is_empty_container());
        Ok(job)
    }
}

/// A raw array or object, told by its first character; null is `None`.
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
