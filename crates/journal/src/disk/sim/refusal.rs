//! What a simulated disk is told to refuse.

use std::io;

use super::Action;

/// Actions that fail.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) action: Action,
    pub(super) kind: io::ErrorKind,
    /// So many actions succeed before.
    pub(super) after: u64,
    pub(super) left: u64,
    /// Of a refused write so many bytes are written; `None`: half of them.
    pub(super) kept: Option<usize>,
    /// Only where a file of this name is opened, or made, or gets the name.
    pub(super) name: Option<String>,
}

impl Refusal {
    pub(super) fn of(action: Action, kind: io::ErrorKind, times: u64) -> Self {
        Self { action, kind, after: 0, left: times, kept: None, name: None }
    }

    pub(super) fn is_of(&self, action: Action, name: Option<&str>) -> bool {
        let is_named = self.name.is_none() || self.name.as_deref() == name;
        self.action == action && self.left > 0 && is_named
    }
}
