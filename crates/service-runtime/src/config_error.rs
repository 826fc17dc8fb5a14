//! What is wrong with a configuration, all of it at once.

use std::fmt;

use crate::environment::Environment;
use crate::variables::{PREFIXES, VARIABLES};

/// One fault of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which variable.
    pub variable: String,
    /// What is wrong and what is accepted; never the value, which may be a secret.
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(variable: &str, detail: &str) -> Self {
        Self { variable: variable.into(), detail: detail.into() }
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
        write!(
            f,
            "the configuration has {count} {}:",
            if count == 1 { "fault" } else { "faults" }
        )?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {}: {}", problem.variable, problem.detail))?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  ({warning})"))
    }
}

impl std::error::Error for ConfigError {}

/// Orchestrators inject some variables with our prefixes, so an unknown one is only told.
pub(crate) fn unknown_variables(environment: &Environment) -> Vec<String> {
    let is_unknown = |name: &&String| {
        PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && !VARIABLES.iter().any(|variable| variable.name == name.as_str())
            && environment.variables.get("FAKTORY_PROVIDER") != Some(name)
    };
    let tell = |name: &String| {
        let near = VARIABLES
            .iter()
            .map(|variable| (strsim::damerau_levenshtein(name, variable.name), variable.name))
            .min();
        match near {
            Some((distance, known)) if distance <= 3 => {
                format!("{name} is not a known variable and has no effect; did you mean {known}?")
            }
            _ => format!("{name} is not a known variable and has no effect"),
        }
    };
    environment.variables.keys().filter(is_unknown).map(tell).collect()
}
