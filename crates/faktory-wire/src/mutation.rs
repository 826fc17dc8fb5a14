//! MUTATE: moves or deletes jobs of the scheduled, retries and dead sets.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The most ids in the filter of one MUTATE. Faktory has no such bound; one page of its web
/// interface sends 25.
pub const MUTATE_IDS_MAX: usize = 100_000;

use crate::excerpt::Excerpt;

/// The set that a mutation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetSet {
    /// Jobs that are not yet due.
    Scheduled,
    /// Failed jobs that will be tried again.
    Retries,
    /// Failed jobs that will not be tried again.
    Dead,
}

impl TargetSet {
    /// The word for the set on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Retries => "retries",
            Self::Dead => "dead",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Scheduled, Self::Retries, Self::Dead].into_iter().find(|set| set.word() == word)
    }
}

/// The operation of a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MutationKind {
    /// Deletes all jobs of the set; the filter is ignored.
    Clear,
    /// Moves jobs to the dead set.
    Kill,
    /// Deletes jobs.
    Discard,
    /// Moves jobs to the end of their queues.
    Requeue,
}

impl MutationKind {
    /// The word for the operation on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Kill => "kill",
            Self::Discard => "discard",
            Self::Requeue => "requeue",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Clear, Self::Kill, Self::Discard, Self::Requeue]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// The jobs that a mutation selects. Where ids are given, only the ids count; otherwise a job must
/// match every given member. An empty filter selects every job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Job ids, at most [`MUTATE_IDS_MAX`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "ids")]
    pub jids: Option<Vec<String>>,
    /// A glob (`*`, `?`, `[…]`) over the whole JSON of a job; the name is Faktory's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
    /// The job type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobtype: Option<String>,
}

/// Reads ids. The bound holds while the array is read, so that no larger one is ever built.
fn ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Default)]
    struct Ids(Vec<String>);

    impl<'de> Deserialize<'de> for Ids {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_seq(IdsVisitor)
        }
    }

    struct IdsVisitor;

    impl<'de> Visitor<'de> for IdsVisitor {
        type Value = Ids;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of job ids")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ids, A::Error> {
            let mut ids = Vec::new();
            while let Some(id) = seq.next_element()? {
                if ids.len() == MUTATE_IDS_MAX {
                    return Err(serde::de::Error::custom(format_args!(
                        "more than {MUTATE_IDS_MAX} ids in one MUTATE"
                    )));
                }
                ids.push(id);
            }
            Ok(Ids(ids))
        }
    }

    Ok(Option::<Ids>::deserialize(deserializer)?.map(|Ids(ids)| ids))
}

/// A MUTATE command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// The operation.
    pub kind: MutationKind,
    /// The set that is changed.
    pub target: TargetSet,
    /// The jobs that are selected.
    pub filter: Filter,
}

#[derive(Serialize, Deserialize)]
struct Document {
    cmd: String,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<Filter>,
}

impl Mutation {
    /// Reads the text behind the verb. The error is the text that the server answers with.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        // Faktory splits the line at spaces and expects two parts, so JSON with a space is refused.
        if payload.is_empty() || payload.contains(&b' ') {
            return Err("invalid format".into());
        }
        let document: Document = serde_json::from_slice(payload)
            .map_err(|error| format!("invalid JSON: {}", Excerpt(error)))?;
        let kind = MutationKind::from_word(&document.cmd).ok_or("unknown mutate operation")?;
        let target =
            TargetSet::from_word(&document.target).ok_or("invalid target for mutation command")?;
        let mut filter = document.filter.unwrap_or_default();
        // As with Faktory, an empty member counts as absent.
        filter.jids = filter.jids.filter(|jids| !jids.is_empty());
        filter.regexp = filter.regexp.filter(|pattern| !pattern.is_empty());
        filter.jobtype = filter.jobtype.filter(|job_type| !job_type.is_empty());
        Ok(Self { kind, target, filter })
    }

    /// Appends the text behind the verb: compact JSON in which every space is escaped.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let filter = (self.filter != Filter::default()).then(|| self.filter.clone());
        let document =
            Document { cmd: self.kind.word().into(), target: self.target.word().into(), filter };
        let json = serde_json::to_string(&document).unwrap_or_default();
        out.extend_from_slice(json.replace(' ', "\\u0020").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_in_a_filter_survives_the_wire() {
        let filter = Filter { jobtype: Some("send mail".into()), ..Filter::default() };
        let mutation = Mutation { kind: MutationKind::Kill, target: TargetSet::Retries, filter };
        let mut out = Vec::new();
        mutation.encode(&mut out);
        assert!(!out.contains(&b' '));
        assert_eq!(Mutation::parse(&out).unwrap(), mutation);
    }

    #[test]
    fn empty_members_of_a_filter_are_absent() {
        let json =
            r#"{"cmd":"kill","target":"dead","filter":{"jids":[],"regexp":"","jobtype":""}}"#;
        assert_eq!(Mutation::parse(json.as_bytes()).unwrap().filter, Filter::default());
    }

    #[test]
    fn refusals_are_those_of_faktory() {
        let refused = |json: &str| Mutation::parse(json.as_bytes()).unwrap_err();
        assert_eq!(refused(r#"{"cmd":"eat","target":"dead"}"#), "unknown mutate operation");
        assert_eq!(
            refused(r#"{"cmd":"kill","target":"queues"}"#),
            "invalid target for mutation command"
        );
        assert_eq!(refused(r#"{"cmd": "kill","target":"dead"}"#), "invalid format");
    }
}
