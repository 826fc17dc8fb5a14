//! The body of a batch, `{"jobs":[…]}`, read in one pass.

use std::fmt;

use job_types::Element;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A batch as it was sent.
#[derive(Debug, Default)]
pub(crate) struct BatchBody<'a> {
    /// `None` where there is no member `jobs`.
    pub(crate) jobs: Option<Jobs<'a>>,
    /// `jobs` stands there more than once.
    pub(crate) repeated: bool,
    /// Members that a batch does not have.
    pub(crate) unknown: Vec<String>,
    /// The body is no object.
    pub(crate) not_an_object: bool,
}

/// The member `jobs`.
#[derive(Debug)]
pub(crate) enum Jobs<'a> {
    /// An array of so many jobs; more than the limit are counted, not kept.
    Array(Vec<Element<'a>>, usize),
    /// Anything else.
    Other,
}

/// Jobs kept of one batch, whatever the limit: the check against it comes later, with a proper answer.
const KEPT_MAX: usize = 1_000_000;

impl<'de: 'a, 'a> Deserialize<'de> for BatchBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Jobs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JobsVisitor)
    }
}

/// Everything that is not what is looked for.
macro_rules! anything_else {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = BatchBody<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut body = BatchBody::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "jobs" {
                body.repeated |= body.jobs.is_some();
                body.jobs = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
                if body.unknown.len() < 10 {
                    body.unknown.push(name.chars().take(100).collect());
                }
            }
        }
        Ok(body)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(BatchBody { not_an_object: true, ..BatchBody::default() })
    }

    anything_else!(BatchBody { not_an_object: true, ..BatchBody::default() });
}

struct JobsVisitor;

impl<'de> Visitor<'de> for JobsVisitor {
    type Value = Jobs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut jobs = Vec::new();
        while jobs.len() < KEPT_MAX
            && let Some(job) = seq.next_element()?
        {
            jobs.push(job);
        }
        let mut count = jobs.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Jobs::Array(jobs, count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Jobs::Other)
    }

    anything_else!(Jobs::Other);
}
