//! The body of a batch, `{"jobs":[…]}`, parsed in one pass.

use std::fmt;

use job_types::Element;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A batch as it was sent, before its jobs are checked.
#[derive(Debug, Default)]
pub(crate) struct BatchBody<'a> {
    /// The member `jobs`; `None` where it is missing.
    pub(crate) jobs: Option<Jobs<'a>>,
    /// Whether the member `jobs` occurs more than once.
    pub(crate) repeated: bool,
    /// The names of members that a batch does not have, the first ten at most.
    pub(crate) unknown: Vec<String>,
    /// Whether the body is something else than an object.
    pub(crate) not_an_object: bool,
}

/// The value of the member `jobs`.
#[derive(Debug)]
pub(crate) enum Jobs<'a> {
    /// An array, and the number of its jobs; jobs beyond the limit are counted and not kept.
    Array(Vec<Element<'a>>, usize),
    /// Null.
    Null,
    /// A value that is neither an array nor null.
    Other,
}

impl<'a> BatchBody<'a> {
    /// Parses a batch, and keeps at most `limit` of its jobs.
    pub(crate) fn read<D: Deserializer<'a>>(
        deserializer: D,
        limit: usize,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BodyVisitor { limit })
    }
}

/// The visitor methods for values of every other type, which all give the same.
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
    };
}

struct BodyVisitor {
    limit: usize,
}

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
                body.jobs = Some(map.next_value_seed(JobsVisitor { limit: self.limit })?);
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

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BatchBody { not_an_object: true, ..BatchBody::default() })
    }

    anything_else!(BatchBody { not_an_object: true, ..BatchBody::default() });
}

struct JobsVisitor {
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for JobsVisitor {
    type Value = Jobs<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JobsVisitor {
    type Value = Jobs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut jobs = Vec::new();
        while jobs.len() < self.limit
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

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Jobs::Null)
    }

    anything_else!(Jobs::Other);
}
