//! The terms of a job: what holds for it beyond Faktory, with a work server that remembers ids.

use faktory_wire::{OnceKey, PushGroup};

/// The terms of a job, for a work server that remembers the ids of jobs. A job with `seconds` or
/// `key` is sent to no other work server; `caller` is left out there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Whose id the job has: the same id of two callers is two ids.
    pub caller: Option<String>,
    /// The seconds for which the id is remembered, where that is less than the work server
    /// remembers ids.
    pub seconds: Option<u32>,
    /// The key under which the job is pushed.
    pub key: Option<OnceKey>,
}

impl Terms {
    /// Whether a work server that remembers ids for `once` seconds keeps to them.
    pub(crate) fn are_kept_for(&self, once: u32) -> bool {
        self.seconds.is_none_or(|seconds| seconds <= once) && (self.key.is_none() || once > 0)
    }

    /// The bytes of a group with these terms, about: in a command, or in memory.
    pub(crate) fn bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.id.len() + key.hash.len());
        GROUP_BYTES + self.caller.as_ref().map_or(0, String::len) + key
    }

    fn group(&self) -> PushGroup {
        let Self { caller, seconds, key } = self.clone();
        PushGroup { jobs: 0, caller, seconds, key }
    }
}

/// The bytes of a group beside its texts: names and numbers in a command, which are less than what
/// it takes in memory.
pub(crate) const GROUP_BYTES: usize = size_of::<PushGroup>();

/// The groups of a push of jobs with these terms: neighbours with the same terms are one group.
/// Without terms there are none.
pub(crate) fn groups<'a>(jobs: impl Iterator<Item = Option<&'a Terms>>) -> Vec<PushGroup> {
    let mut groups: Vec<PushGroup> = Vec::new();
    let mut latest: Option<&Terms> = None;
    let mut has_terms = false;
    for terms in jobs {
        has_terms |= terms.is_some();
        match groups.last_mut() {
            Some(group) if latest == terms => group.jobs += 1,
            _ => {
                let group = terms.map(Terms::group).unwrap_or_default();
                groups.push(PushGroup { jobs: 1, ..group });
            }
        }
        latest = terms;
    }
    if has_terms { groups } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_with_the_same_terms_are_one_group_and_without_terms_there_is_none() {
        let of = |callers: &[&str]| {
            let terms = |caller: &&str| {
                let caller = (!caller.is_empty()).then(|| (*caller).to_owned());
                caller.map(|caller| Terms { caller: Some(caller), ..Terms::default() })
            };
            let terms: Vec<_> = callers.iter().map(terms).collect();
            let groups = groups(terms.iter().map(Option::as_ref));
            let shown = |group: PushGroup| (group.jobs, group.caller.unwrap_or_default());
            groups.into_iter().map(shown).collect::<Vec<_>>()
        };
        let shown = |groups: &[(usize, &str)]| {
            groups.iter().map(|(jobs, by)| (*jobs, (*by).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(of(&["", "", ""]), []);
        assert_eq!(of(&["a", "a", "", "b"]), shown(&[(2, "a"), (1, ""), (1, "b")]));
        assert_eq!(of(&["", "a", "a"]), shown(&[(1, ""), (2, "a")]));
    }

    #[test]
    fn terms_need_a_work_server_that_remembers_ids_for_long_enough() {
        let key = OnceKey { id: "k".into(), hash: "h".into() };
        let of = |seconds, key| Terms { caller: Some("a".into()), seconds, key };
        for (terms, kept) in [
            (of(None, None), [true, true, true]),
            (of(Some(60), None), [false, false, true]),
            (of(None, Some(key)), [false, true, true]),
        ] {
            assert_eq!([0, 59, 60].map(|once| terms.are_kept_for(once)), kept, "{terms:?}");
        }
    }
}
