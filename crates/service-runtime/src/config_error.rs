//! What is wrong with a configuration, all of it at once.

use std::fmt;

use crate::logs::plain_text;

/// One fault of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable at fault.
    pub variable: String,
    /// What is wrong and what is accepted; never the value, which may be a secret.
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(variable: &str, detail: &str) -> Self {
        Self { variable: plain_text(variable, false), detail: plain_text(detail, false) }
    }
}

/// Every fault of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The faults.
    pub problems: Vec<Problem>,
    /// What is odd but not wrong: often the reason for a fault.
    pub warnings: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let faults = if count == 1 { "fault" } else { "faults" };
        write!(f, "the configuration has {count} {faults}:")?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {}: {}", problem.variable, problem.detail))?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  ({warning})"))
    }
}

impl std::error::Error for ConfigError {}
