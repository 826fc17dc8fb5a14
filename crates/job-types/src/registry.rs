//! The lookup of typed jobs by name.

use crate::definition::Definition;
use crate::jobs::REGISTRY;

/// The typed job of this name.
#[must_use]
pub fn find(operation: &str) -> Option<&'static Definition> {
    REGISTRY.iter().find(|definition| definition.operation() == operation)
}

/// The names of all typed jobs, as text for people: `add, subtract, …`.
#[must_use]
pub fn operations() -> String {
    REGISTRY.iter().map(Definition::operation).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn operation_names_are_distinct_and_fit_into_a_path() {
        let mut seen = HashSet::new();
        for definition in REGISTRY {
            let name = definition.operation();
            assert!(seen.insert(name), "{name} appears twice");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-')),
                "{name}"
            );
            assert!(!["batch", "stream"].contains(&name), "{name} is the path of another endpoint");
        }
    }

    #[test]
    fn no_member_of_a_typed_job_has_the_name_of_an_option() {
        for definition in REGISTRY {
            for member in definition.members() {
                assert!(
                    !crate::options::is_option(member.name),
                    "{}.{}",
                    definition.operation(),
                    member.name
                );
            }
        }
    }
}
