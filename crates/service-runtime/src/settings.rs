//! The checked configuration. Each component declares its variables in a file of its own; here they
//! come together: loading, the registry, and the configuration in effect for the log.

mod api;
mod broker;
mod declare;
mod link;
mod misspelt;
mod parse;
mod process;
mod reader;
mod rights;
mod show;
mod variable;
mod worker;

#[cfg(test)]
mod tests;

pub use api::{ApiSettings, JOB_BYTES_MAX};
pub use broker::{BrokerSettings, broker_data_dir};
pub use link::LinkSettings;
pub use process::ProcessSettings;
pub use variable::{Component, Variable};
pub use worker::WorkerSettings;

use std::net::SocketAddr;

use crate::config_error::ConfigError;
use crate::descriptors::Connections;
use crate::environment::Environment;
use crate::role::Role;

use reader::Reader;

/// Every component and its variables, in the order in which they are documented.
pub static COMPONENTS: [Component; 5] = [
    Component {
        title: "The work server and the connections to it",
        roles: &[Role::All, Role::Api, Role::Worker],
        variables: LinkSettings::VARIABLES,
    },
    Component {
        title: "The API",
        roles: &[Role::All, Role::Api],
        variables: ApiSettings::VARIABLES,
    },
    Component {
        title: "The worker",
        roles: &[Role::All, Role::Worker],
        variables: WorkerSettings::VARIABLES,
    },
    Component {
        title: "The embedded broker",
        roles: &[Role::All, Role::Broker],
        variables: BrokerSettings::VARIABLES,
    },
    Component {
        title: "Every process",
        roles: &[Role::All, Role::Api, Role::Worker, Role::Broker],
        variables: ProcessSettings::VARIABLES,
    },
];

/// Every variable, in the order in which they are documented.
pub fn variables() -> impl Iterator<Item = &'static Variable> + Clone {
    COMPONENTS.iter().flat_map(|component| component.variables)
}

/// Everything that is configured.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The work server and the connections to it.
    pub link: LinkSettings,
    /// The HTTP API.
    pub api: ApiSettings,
    /// The worker.
    pub worker: WorkerSettings,
    /// The embedded broker.
    pub broker: BrokerSettings,
    /// What every process has.
    pub process: ProcessSettings,
    /// The connections that the listeners hold; [`start`](crate::start) fits them to the system's
    /// limit of open files.
    pub connections: Connections,
}

/// Settings, and what is odd but not wrong.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// For the log.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Checks an environment for what a process of this role needs.
    ///
    /// # Errors
    /// With every fault.
    pub fn load(environment: &Environment, role: Role) -> Result<Loaded, ConfigError> {
        let mut reader = Reader::new(environment);
        let link = LinkSettings::load(&mut reader, role);
        let runs_broker = role.runs_broker(link.url_is_set);
        let settings = Self {
            link,
            api: ApiSettings::load(&mut reader, role.runs_api()),
            worker: WorkerSettings::read(&mut reader),
            broker: BrokerSettings::load(&mut reader, runs_broker),
            process: ProcessSettings::read(&mut reader),
            connections: Connections::default(),
        };
        let mut warnings = misspelt::warnings(environment, variables());
        warnings.append(&mut reader.warnings);
        if reader.problems.is_empty() {
            Ok(Loaded { settings, warnings })
        } else {
            Err(ConfigError { problems: reader.problems, warnings })
        }
    }

    /// Each variable that counts for a process of this role, with its value in effect and secrets
    /// hidden, for the log; and beside them what was found in files: the number of keys, and the
    /// name that the work server's certificate must be for.
    #[must_use]
    pub fn describe(&self, role: Role) -> String {
        let runs_broker = role.runs_broker(self.link.url_is_set);
        let mut in_effect = Vec::new();
        if role != Role::Broker {
            let link = self.link.in_effect().into_iter();
            in_effect.extend(link.map(|(name, value)| match name {
                "FAKTORY_URL" if runs_broker => (name, "embedded-broker".to_owned()),
                _ => (name, value),
            }));
            let tls = self.link.tls.iter().filter(|_| !runs_broker);
            in_effect
                .extend(tls.map(|tls| ("work_server_name", tls.server_name.to_str().into_owned())));
        }
        if role.runs_api() {
            in_effect.extend(self.api.in_effect());
            in_effect
                .extend(self.api.keys.iter().map(|(_, keys)| ("keys", keys.len().to_string())));
        }
        if role.runs_worker() {
            in_effect.extend(self.worker.in_effect());
        }
        if runs_broker {
            in_effect.extend(self.broker.in_effect());
        }
        in_effect.extend(self.process.in_effect());
        let pairs: Vec<_> =
            in_effect.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(" ")
    }
}

/// Where a process of some role answers, read without any file: for the health check.
pub(crate) struct Answers {
    /// The variable that says where.
    pub(crate) variable: &'static str,
    /// The address, where one is configured.
    pub(crate) at: Option<SocketAddr>,
    /// True where TLS is spoken.
    pub(crate) has_tls: bool,
}

impl Answers {
    /// Of the environment only the address counts and whether there is TLS.
    ///
    /// # Errors
    /// With the faults of the address and of a profile that can't be read.
    pub(crate) fn read(environment: &Environment, role: Role) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment);
        let answers = match role {
            Role::All | Role::Api => {
                let api = ApiSettings::read(&mut reader);
                let has_tls = api.tls_cert_file.is_some();
                Self { variable: "BIND_ADDR", at: Some(api.bind), has_tls }
            }
            Role::Worker => {
                let worker = WorkerSettings::read(&mut reader);
                Self { variable: "WORKER_BIND_ADDR", at: worker.bind, has_tls: false }
            }
            Role::Broker => {
                let broker = BrokerSettings::read(&mut reader);
                let has_tls = broker.tls_cert_file.is_some();
                Self { variable: "BROKER_BIND_ADDR", at: Some(broker.bind), has_tls }
            }
        };
        let mut problems = reader.problems;
        problems.retain(|problem| {
            ["--env-file", answers.variable].contains(&problem.variable.as_str())
        });
        if problems.is_empty() {
            Ok(answers)
        } else {
            Err(ConfigError { problems, warnings: Vec::new() })
        }
    }
}
