//! The environment as text: the process's own, and below it a profile's. What is set in the process
//! wins. What the variables mean is said in `settings`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use crate::config_error::Problem;

/// Variables with a value; an empty value is as good as none.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub(crate) variables: BTreeMap<String, String>,
    /// Variables whose values are not UTF-8.
    pub(crate) not_text: BTreeSet<String>,
    /// Why a profile can't be read.
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

    /// From pairs of any origin. A name that is not UTF-8 can't be ours.
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
                Err(_) => {
                    environment.not_text.insert(name);
                }
            }
        }
        environment
    }

    fn add_profile(&mut self, path: &Path) {
        let fault =
            |detail: String| Problem::new("--env-file", &format!("{}: {detail}", path.display()));
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(error) => return self.problems.push(fault(error.to_string())),
        };
        let mut profile = BTreeMap::new();
        for line in lines {
            // The fault does not repeat the line, which may hold a secret.
            let Ok((name, value)) = line else {
                return self.problems.push(fault("a line is not NAME=value".into()));
            };
            // The last line of a name counts, as with compose.
            profile.insert(name, value);
        }
        for (name, value) in profile.into_iter().filter(|(_, value)| !value.trim().is_empty()) {
            self.variables.entry(name).or_insert(value);
        }
    }
}
