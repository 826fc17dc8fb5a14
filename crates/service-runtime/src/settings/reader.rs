//! Reading variables one by one, and keeping every fault, so that all faults are told at once.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::rights::{self, Keep};
use crate::config_error::Problem;
use crate::environment::Environment;
use crate::secret::Secret;
use crate::tls::{ServerTls, TlsFile};

/// A reader of the environment, with the faults found so far.
pub(crate) struct Reader<'a> {
    environment: &'a Environment,
    pub(crate) problems: Vec<Problem>,
    /// What is odd about files, but not wrong.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader that has found nothing yet but what makes the environment's sources unreadable.
    pub(crate) fn new(environment: &'a Environment) -> Self {
        Self { environment, problems: environment.problems.clone(), warnings: Vec::new() }
    }

    /// Keeps a fault of a variable.
    pub(super) fn fault(&mut self, variable: &str, detail: &str) {
        self.problems.push(Problem::new(variable, detail));
    }

    /// Warns where other users could use a file that a variable names.
    pub(super) fn look_at_rights(&mut self, variable: &str, path: &Path, keep: Keep) {
        let fault = rights::fault(path, keep);
        self.warnings.extend(fault.map(|fault| format!("{variable}: {fault}")));
    }

    /// Drops the faults of a variable that has no effect after all.
    pub(super) fn forgive(&mut self, variable: &str) {
        self.problems.retain(|problem| problem.variable != variable);
    }

    /// The text of any variable, without the white space around it.
    pub(super) fn text(&self, variable: &str) -> Option<String> {
        self.environment.variables.get(variable).map(|text| text.trim().to_owned())
    }

    /// The texts of these variables, as a struct with an optional text for each. envy would fold
    /// cases and take everything: it is given the variables that are ours, each as its field.
    pub(super) fn texts<T: DeserializeOwned + Default>(
        &mut self,
        variables: &[(&'static str, &'static str)],
    ) -> T {
        for (_, variable) in variables {
            if self.environment.not_text.contains(*variable) {
                self.fault(variable, "must be UTF-8 text");
            }
        }
        let set = variables
            .iter()
            .filter_map(|(field, variable)| Some(((*field).to_owned(), self.text(variable)?)));
        envy::from_iter(set).unwrap_or_else(|error| {
            self.fault("environment", &error.to_string());
            T::default()
        })
    }

    /// The value of a variable: that of its text, or else its default.
    pub(super) fn value<T>(
        &mut self,
        variable: &str,
        text: Option<String>,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        match text.as_deref().map(&parse) {
            Some(Ok(value)) => return value,
            Some(Err(accepted)) => self.fault(variable, &format!("must be {accepted}")),
            None => {}
        }
        #[expect(clippy::expect_used, reason = "a test reads the default of every variable")]
        parse(default).expect("the default of a variable is valid")
    }

    /// The certificate and the key of a server, where both files are named.
    pub(super) fn server_tls(
        &mut self,
        (certificate_name, certificate): (&str, &Option<PathBuf>),
        (key_name, key): (&str, &Option<PathBuf>),
    ) -> Option<ServerTls> {
        let (certificate, key) = self.pair((certificate_name, certificate), (key_name, key))?;
        self.look_at_rights(key_name, &key, Keep::Secret);
        ServerTls::load(&certificate, &key)
            .map_err(|fault| {
                let name = match fault.file {
                    TlsFile::Key => key_name,
                    TlsFile::Certificate | TlsFile::Authorities | TlsFile::ServerName => {
                        certificate_name
                    }
                };
                self.fault(name, &fault.detail);
            })
            .ok()
    }

    /// Two files that belong together: both, or none.
    pub(super) fn pair(
        &mut self,
        (one_name, one): (&str, &Option<PathBuf>),
        (other_name, other): (&str, &Option<PathBuf>),
    ) -> Option<(PathBuf, PathBuf)> {
        match (one, other) {
            (Some(one), Some(other)) => return Some((one.clone(), other.clone())),
            (Some(_), None) => {
                self.fault(other_name, &format!("must be set together with {one_name}"));
            }
            (None, Some(_)) => {
                self.fault(one_name, &format!("must be set together with {other_name}"));
            }
            (None, None) => {}
        }
        None
    }
}

/// The password on the first line of a file. The fault does not repeat the path: a password that
/// was set in place of the path would be read in the log.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("must name a file that can be read: {error}"))?;
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err("must name a file whose first line is the password; that line is empty".into()),
    }
}
