//! One variable of the environment, as an entry of the registry. The settings of each component
//! declare theirs with [`settings!`](super::declare), which makes these entries.

use crate::role::Role;

/// A variable of the environment: its name, its default, and its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: &'static str,
    /// The value where the variable is not set, as text that could be set; empty for none.
    pub default: &'static str,
    /// What the variable is for, for people.
    pub meaning: &'static str,
}

/// The variables of one component, in the order in which they are documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Component {
    /// The component's name, for people.
    pub title: &'static str,
    /// The roles of processes for which the variables count.
    pub roles: &'static [Role],
    /// The component's variables.
    pub variables: &'static [Variable],
}
