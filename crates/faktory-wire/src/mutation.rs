//! MUTATE: moving and removing jobs in the scheduled, retries and dead sets.

use serde::{Deserialize, Serialize};

/// The set that a mutation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetSet {
    /// Jobs for later.
    Scheduled,
    /// Failed jobs that will be tried again.
    Retries,
    /// Failed jobs that will not.
    Dead,
}

impl TargetSet {
    /// The word on the wire.
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

/// What happens to the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MutationKind {
    /// All go, whatever the filter.
    Clear,
    /// To the dead set.
    Kill,
    /// Gone.
    Discard,
    /// Back into their queues.
    Requeue,
}

impl MutationKind {
    /// The word on the wire.
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

/// Which jobs. Where ids are given only they count; else those that match all that is given; an
/// empty filter is everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Job ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jids: Option<Vec<String>>,
    /// Called so, but a glob over the job's whole JSON: `*`, `?`, `[…]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
    /// A job type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobtype: Option<String>,
}

/// One mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// What happens.
    pub kind: MutationKind,
    /// Where.
    pub target: TargetSet,
    /// To which jobs.
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
    /// Reads what follows the verb. The error is the text that the server answers with.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        // Faktory splits the line at spaces and wants two parts, so JSON with a space anywhere is
        // refused.
        if payload.is_empty() || payload.contains(&b' ') {
            return Err("invalid format".into());
        }
        let document: Document =
            serde_json::from_slice(payload).map_err(|error| format!("invalid JSON: {error}"))?;
        let kind = MutationKind::from_word(&document.cmd).ok_or("unknown mutate operation")?;
        let target =
            TargetSet::from_word(&document.target).ok_or("invalid target for mutation command")?;
        let mut filter = document.filter.unwrap_or_default();
        // As with Faktory, what is empty is not there.
        filter.jids = filter.jids.filter(|jids| !jids.is_empty());
        filter.regexp = filter.regexp.filter(|pattern| !pattern.is_empty());
        filter.jobtype = filter.jobtype.filter(|job_type| !job_type.is_empty());
        Ok(Self { kind, target, filter })
    }

    /// Appends the payload: compact, with every space inside a string escaped.
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
