//! The registry: the typed jobs that an API takes and a worker runs, found by their names.

use crate::definition::{Definition, MemberInfo, RunJob};
use crate::options::OPTIONS;

/// Names in paths of the API that stand where a typed job's name stands.
const PATHS: &[&str] = &["batch", "stream"];
/// Members that say what a job runs.
const WHAT_TO_RUN: &[&str] = &["operation", "jobtype"];
/// The longest name of a typed job.
const NAME_BYTES_MAX: usize = 100;

/// The typed jobs that an API takes and a worker runs.
///
/// ```
/// use job_types::Registry;
/// use job_types::jobs::{Add, Divide};
///
/// let registry = Registry::new().with::<Add>().with::<Divide>();
/// assert!(registry.find("divide").is_some() && registry.find("multiply").is_none());
/// ```
///
/// A job whose name is the path of another endpoint, or does not fit into a path, does not compile,
/// nor does one with a member that has the name of an option:
///
/// ```compile_fail
/// # use job_types::{Finite, JobContext, Registry, RunError, RunJob, define_job};
/// define_job! {
///     pub struct Mine = "batch" { a: Finite }
/// }
/// # impl RunJob for Mine {
/// #     type Output = Finite;
/// #
/// #     async fn run(self, _: JobContext) -> Result<Finite, RunError> {
/// #         Ok(self.a)
/// #     }
/// # }
/// let registry = Registry::new().with::<Mine>();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// In the order of their names.
    definitions: Vec<Definition>,
    /// The first name that two jobs have.
    twice: Option<&'static str>,
}

/// Two typed jobs of a registry have the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two typed jobs have the name {0}; each needs a name of its own")]
pub struct NameTwice(&'static str);

impl Registry {
    /// A registry without jobs.
    #[must_use]
    pub const fn new() -> Self {
        Self { definitions: Vec::new(), twice: None }
    }

    /// The registry with one more typed job. A name that is there already is found by
    /// [`Registry::check`], which API and worker call when they start.
    #[must_use]
    pub fn with<J: RunJob>(mut self) -> Self {
        const {
            assert!(
                is_operation(J::OPERATION),
                "the name of a typed job must have 1 to 100 characters, each one of a-z 0-9 _ -, \
                 and must not be batch or stream, which are other paths of the API"
            );
            assert!(
                are_members(J::MEMBERS),
                "a member of a typed job must not have the name of an option of all jobs, nor be \
                 operation or jobtype"
            );
        }
        match self.position(J::OPERATION) {
            Ok(_) => self.twice = self.twice.or(Some(J::OPERATION)),
            Err(position) => self.definitions.insert(position, Definition::of::<J>()),
        }
        self
    }

    /// Whether every job has a name of its own.
    ///
    /// # Errors
    /// With the first name that two jobs have.
    pub fn check(&self) -> Result<(), NameTwice> {
        self.twice.map_or(Ok(()), |name| Err(NameTwice(name)))
    }

    /// The typed job of this name.
    #[must_use]
    pub fn find(&self, operation: &str) -> Option<Definition> {
        self.definitions.get(self.position(operation).ok()?).copied()
    }

    /// All typed jobs, in the order of their names.
    pub fn definitions(&self) -> impl Iterator<Item = Definition> {
        self.definitions.iter().copied()
    }

    /// The names of all typed jobs, as text for people: `add, divide, …`.
    #[must_use]
    pub fn operations(&self) -> String {
        let names: Vec<&str> = self.definitions.iter().map(Definition::operation).collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }

    /// Where the job of this name is, or else belongs.
    fn position(&self, operation: &str) -> Result<usize, usize> {
        self.definitions.binary_search_by(|definition| definition.operation().cmp(operation))
    }
}

/// True for the name of a typed job that fits into a path and is no other path's.
const fn is_operation(name: &str) -> bool {
    let mut bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX || is_one_of(name, PATHS) {
        return false;
    }
    while let [first, rest @ ..] = bytes {
        if !matches!(first, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') {
            return false;
        }
        bytes = rest;
    }
    true
}

/// True where no member has a name that has another meaning.
const fn are_members(mut members: &[MemberInfo]) -> bool {
    while let [first, rest @ ..] = members {
        if is_one_of(first.name, OPTIONS) || is_one_of(first.name, WHAT_TO_RUN) {
            return false;
        }
        members = rest;
    }
    true
}

const fn is_one_of(name: &str, mut names: &[&str]) -> bool {
    while let [first, rest @ ..] = names {
        if is_same(name.as_bytes(), first.as_bytes()) {
            return true;
        }
        names = rest;
    }
    false
}

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    loop {
        match (one, other) {
            ([], []) => return true,
            ([a, one_rest @ ..], [b, other_rest @ ..]) if *a == *b => {
                one = one_rest;
                other = other_rest;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Add, Divide, Multiply};

    #[test]
    fn a_name_twice_is_a_fault_of_the_registry() {
        let registry = Registry::new().with::<Multiply>().with::<Add>();
        assert_eq!((registry.check(), registry.operations()), (Ok(()), "add, multiply".into()));
        let registry = registry.with::<Add>().with::<Divide>().with::<Divide>();
        let error = registry.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "two typed jobs have the name add; each needs a name of its own"
        );
    }

    #[test]
    fn names_that_mean_something_else_or_fit_into_no_path_are_refused() {
        for name in ["add", "send_mail", "resize-2", &"a".repeat(100)] {
            assert!(is_operation(name), "{name}");
        }
        for name in ["", "batch", "stream", "Add", "a/b", "a b", "ä", &"a".repeat(101)] {
            assert!(!is_operation(name), "{name}");
        }
        let member = |name| [MemberInfo { name, accepts: "" }];
        assert!(are_members(&member("a")) && are_members(&member("queues")));
        for name in OPTIONS.iter().chain(["operation", "jobtype"].iter()) {
            assert!(!are_members(&member(name)), "{name}");
        }
    }
}
