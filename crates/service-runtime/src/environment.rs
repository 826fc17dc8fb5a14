//! The environment as text: the process's own, and below it a profile's. What is set in the process
//! wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::config_error::Problem;

/// Variables with a value; an empty value is as good as none.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub(crate) variables: BTreeMap<String, String>,
    /// What could not be read.
    pub(crate) problems: Vec<Problem>,
}

impl Environment {
    /// The process's environment, and below it the profile where one is named.
    #[must_use]
    pub fn of_process(env_file: Option<&Path>) -> Self {
        let mut environment = Self::from_pairs(std::env::vars_os());
        if let Some(path) = env_file {
            environment.add_profile(path);
        }
        environment
    }

    /// From pairs of any origin. Names that are no UTF-8 can't be ours; values that are none are a
    /// problem where they are.
    #[must_use]
    pub fn from_pairs(pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.trim().is_empty() => {}
                Ok(value) => {
                    environment.variables.insert(name, value);
                }
                Err(_)
                    if crate::variables::VARIABLES.iter().any(|variable| variable.name == name) =>
                {
                    environment.problems.push(Problem::new(&name, "must be UTF-8 text"));
                }
                Err(_) => {}
            }
        }
        environment
    }

    fn add_profile(&mut self, path: &Path) {
        let fault =
            |detail: String| Problem::new("--env-file", &format!("{}: {detail}", path.display()));
        match dotenvy::from_path_iter(path) {
            Err(error) => self.problems.push(fault(error.to_string())),
            Ok(lines) => {
                let mut profile = BTreeMap::new();
                for line in lines {
                    match line {
                        // The last one counts, as with compose.
                        Ok((name, value)) => profile.insert(name, value),
                        // The line itself may hold a secret.
                        Err(_) => {
                            return self.problems.push(fault("a line is not NAME=value".into()));
                        }
                    };
                }
                for (name, value) in
                    profile.into_iter().filter(|(_, value)| !value.trim().is_empty())
                {
                    self.variables.entry(name).or_insert(value);
                }
            }
        }
    }
}
