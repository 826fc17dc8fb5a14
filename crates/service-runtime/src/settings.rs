//! The checked configuration. envy makes fields of the variables, all of them text; then each is checked, so that
//! every fault is told at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::environment::Environment;
use crate::logs::{self, LogFormat};
use crate::parse;
use crate::role::Role;
use crate::secret::Secret;
use crate::variables::{PREFIXES, VARIABLES, default_of};
use crate::work_server_url::WorkServerUrl;

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The work server and the connections to it.
    pub link: LinkSettings,
    /// The HTTP API.
    pub api: ApiSettings,
    /// The worker.
    pub worker: WorkerSettings,
    /// The embedded broker.
    pub broker: BrokerSettings,
    /// Time to finish what has begun.
    pub shutdown_timeout: Duration,
    /// What is logged.
    pub log_filter: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

/// The work server and the connections to it.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Where it is.
    pub url: WorkServerUrl,
    /// True where the URL was set and is not the default.
    pub url_is_set: bool,
    /// Connections at the most.
    pub max_connections: usize,
    /// For a place in the pool, the TCP connection, and the handshake, each.
    pub connection_timeout: Duration,
    /// For a reply.
    pub read_timeout: Duration,
    /// For a command to be taken by the network.
    pub write_timeout: Duration,
    /// Silence after which a connection is probed.
    pub keepalive_idle: Duration,
    /// Time between two probes.
    pub keepalive_interval: Duration,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Every request has ended by then.
    pub request_timeout: Duration,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The most jobs in one batch.
    pub max_batch_jobs: usize,
    /// The most distinct queue names accepted.
    pub max_queues: usize,
}

/// The worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Jobs run at once.
    pub concurrency: usize,
    /// Queues, the first with strict priority.
    pub queues: Vec<String>,
    /// Pause after an empty fetch.
    pub poll_interval: Duration,
    /// Where it answers `/health` and `/ready`.
    pub bind: Option<SocketAddr>,
}

/// The embedded broker.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Where it stores; `None` only where nothing is set and the user has no data folder.
    pub data_dir: Option<PathBuf>,
    /// Its password.
    pub password: Option<Secret>,
}

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
        write!(f, "the configuration has {count} {}:", if count == 1 { "fault" } else { "faults" })?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {}: {}", problem.variable, problem.detail))?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  ({warning})"))
    }
}

impl std::error::Error for ConfigError {}

/// Settings, and what is odd but not wrong.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// For the log.
    pub warnings: Vec<String>,
}

/// The variables as envy reads them: a field each, named as the variable in lower case.
#[derive(Debug, Default, Deserialize)]
struct Texts {
    faktory_url: Option<String>,
    faktory_password_file: Option<String>,
    faktory_provider: Option<String>,
    faktory_max_connections: Option<String>,
    faktory_connection_timeout: Option<String>,
    faktory_read_timeout: Option<String>,
    faktory_write_timeout: Option<String>,
    faktory_keepalive_idle: Option<String>,
    faktory_keepalive_interval: Option<String>,
    bind_addr: Option<String>,
    api_request_timeout: Option<String>,
    api_max_body_bytes: Option<String>,
    api_max_batch_jobs: Option<String>,
    api_max_queues: Option<String>,
    worker_concurrency: Option<String>,
    worker_queues: Option<String>,
    worker_poll_interval_ms: Option<String>,
    worker_bind_addr: Option<String>,
    broker_bind_addr: Option<String>,
    broker_data_dir: Option<String>,
    broker_password: Option<String>,
    broker_password_file: Option<String>,
    shutdown_timeout: Option<String>,
    rust_log: Option<String>,
    log_format: Option<String>,
}

impl Settings {
    /// Checks an environment for what a process of this role needs.
    ///
    /// # Errors
    /// With every fault.
    pub fn load(environment: &Environment, role: Role) -> Result<Loaded, ConfigError> {
        let mut check = Check { problems: environment.problems.clone() };
        // envy folds cases and takes everything: it is given ours only, by their exact names.
        let known = environment.variables.iter().filter(|(name, _)| VARIABLES.iter().any(|variable| variable.name == *name));
        let pairs = known.map(|(name, value)| (name.clone(), value.trim().to_owned()));
        let texts: Texts = envy::from_iter(pairs).unwrap_or_else(|error| {
            check.problems.push(Problem::new("environment", &error.to_string()));
            Texts::default()
        });
        let link = check.link(&texts, environment, role);
        let link_is_set = link.url_is_set;
        let settings = Self {
            link,
            api: ApiSettings {
                bind: check.value("BIND_ADDR", texts.bind_addr, parse::address),
                request_timeout: check.value("API_REQUEST_TIMEOUT", texts.api_request_timeout, parse::duration),
                max_body_bytes: check.value("API_MAX_BODY_BYTES", texts.api_max_body_bytes, |text| parse::bytes(text, 1 << 30)),
                max_batch_jobs: check.value("API_MAX_BATCH_JOBS", texts.api_max_batch_jobs, |text| parse::count(text, 1_000_000)),
                max_queues: check.value("API_MAX_QUEUES", texts.api_max_queues, |text| parse::count(text, 1_000_000)),
            },
            worker: WorkerSettings {
                concurrency: check.value("WORKER_CONCURRENCY", texts.worker_concurrency, |text| parse::count(text, 10_000)),
                queues: check.value("WORKER_QUEUES", texts.worker_queues, parse::queues),
                poll_interval: check.value("WORKER_POLL_INTERVAL_MS", texts.worker_poll_interval_ms, parse::milliseconds),
                bind: texts.worker_bind_addr.map(|text| check.value("WORKER_BIND_ADDR", Some(text), parse::address)),
            },
            broker: BrokerSettings {
                bind: check.value("BROKER_BIND_ADDR", texts.broker_bind_addr, parse::address),
                data_dir: check.data_dir(texts.broker_data_dir, role, link_is_set),
                password: check.secret("BROKER_PASSWORD", texts.broker_password, "BROKER_PASSWORD_FILE", texts.broker_password_file),
            },
            shutdown_timeout: check.value("SHUTDOWN_TIMEOUT", texts.shutdown_timeout, parse::duration),
            log_filter: check.value("RUST_LOG", texts.rust_log, logs::check_filter),
            log_format: check.value("LOG_FORMAT", texts.log_format, LogFormat::parse),
        };
        if check.problems.is_empty() {
            Ok(Loaded { settings, warnings: unknown_variables(environment) })
        } else {
            Err(ConfigError { problems: check.problems, warnings: unknown_variables(environment) })
        }
    }

    /// What is in effect for a process of this role, secrets hidden, for the log.
    #[must_use]
    pub fn describe(&self, role: Role) -> String {
        let Self { link, api, worker, broker, shutdown_timeout, log_filter, log_format } = self;
        let with_broker = role == Role::Broker || (role == Role::All && !link.url_is_set);
        let mut parts = Vec::new();
        if role != Role::Broker {
            let url = if with_broker { "the embedded broker".to_owned() } else { link.url.to_string() };
            parts.push(format!(
                "work_server={url} max_connections={} connection_timeout={:?} read_timeout={:?} write_timeout={:?} keepalive={:?}/{:?}",
                link.max_connections,
                link.connection_timeout,
                link.read_timeout,
                link.write_timeout,
                link.keepalive_idle,
                link.keepalive_interval
            ));
        }
        if matches!(role, Role::All | Role::Api) {
            parts.push(format!(
                "api_bind={} request_timeout={:?} max_body_bytes={} max_batch_jobs={} max_queues={}",
                api.bind, api.request_timeout, api.max_body_bytes, api.max_batch_jobs, api.max_queues
            ));
        }
        if role.runs_worker() {
            let bind = worker.bind.map_or_else(|| "none".into(), |bind| bind.to_string());
            parts.push(format!(
                "worker_concurrency={} worker_queues={} poll_interval={:?} worker_bind={bind}",
                worker.concurrency,
                worker.queues.join(","),
                worker.poll_interval
            ));
        }
        if with_broker {
            let folder = broker.data_dir.as_deref().map_or_else(|| "none".into(), |folder| folder.display().to_string());
            let password = if broker.password.is_some() { "[redacted]" } else { "none" };
            parts.push(format!("broker_bind={} data_dir={folder} broker_password={password}", broker.bind));
        }
        parts.push(format!("shutdown_timeout={shutdown_timeout:?} log_filter={log_filter} log_format={log_format:?}"));
        parts.join(" ")
    }
}

/// Collects faults; where a value has one, something takes its place that nobody will see.
struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn fault(&mut self, variable: &str, detail: &str) {
        self.problems.push(Problem::new(variable, detail));
    }

    /// The value of a variable, or its default, which a test shows to be right.
    fn value<T: Placeholder>(&mut self, name: &str, text: Option<String>, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let text = text.unwrap_or_else(|| default_of(name).to_owned());
        parse(&text).unwrap_or_else(|accepted| {
            self.fault(name, &format!("must be {accepted}"));
            T::placeholder()
        })
    }

    fn link(&mut self, texts: &Texts, environment: &Environment, role: Role) -> LinkSettings {
        let (source, text) = match &texts.faktory_provider {
            None => ("FAKTORY_URL", texts.faktory_url.clone()),
            Some(name) => {
                let named = environment.variables.get(name).map(|text| text.trim().to_owned());
                if named.is_none() {
                    self.fault("FAKTORY_PROVIDER", "must name a variable that is set and holds the URL of the work server");
                }
                ("FAKTORY_PROVIDER", named)
            }
        };
        let url_is_set = text.is_some();
        let text = text.unwrap_or_else(|| default_of("FAKTORY_URL").into());
        let mut url = WorkServerUrl::parse(&text).unwrap_or_else(|accepted| {
            self.fault(source, &format!("must be {accepted}"));
            WorkServerUrl { host: String::new(), port: 0, password: None }
        });
        if let Some(path) = &texts.faktory_password_file {
            match (&url.password, read_secret(path)) {
                (Some(_), _) => self.fault("FAKTORY_PASSWORD_FILE", "must not be set where the URL has a password already"),
                (None, Ok(password)) => url.password = Some(password),
                (None, Err(detail)) => self.fault("FAKTORY_PASSWORD_FILE", &detail),
            }
        }
        let read_timeout = self.value("FAKTORY_READ_TIMEOUT", texts.faktory_read_timeout.clone(), |text| {
            let timeout = parse::duration(text)?;
            if role.runs_worker() && timeout < Duration::from_secs(3) {
                return Err("3s or more for a worker, because an empty FETCH takes 2s".into());
            }
            Ok(timeout)
        });
        LinkSettings {
            url,
            url_is_set,
            read_timeout,
            max_connections: self.value("FAKTORY_MAX_CONNECTIONS", texts.faktory_max_connections.clone(), |text| parse::count(text, 1900)),
            connection_timeout: self.value("FAKTORY_CONNECTION_TIMEOUT", texts.faktory_connection_timeout.clone(), parse::duration),
            write_timeout: self.value("FAKTORY_WRITE_TIMEOUT", texts.faktory_write_timeout.clone(), parse::duration),
            keepalive_idle: self.value("FAKTORY_KEEPALIVE_IDLE", texts.faktory_keepalive_idle.clone(), parse::duration),
            keepalive_interval: self.value("FAKTORY_KEEPALIVE_INTERVAL", texts.faktory_keepalive_interval.clone(), parse::duration),
        }
    }

    fn secret(&mut self, name: &str, text: Option<String>, file_name: &str, file: Option<String>) -> Option<Secret> {
        match (text, file) {
            (Some(_), Some(_)) => {
                self.fault(file_name, &format!("must not be set together with {name}"));
                None
            }
            (Some(text), None) => Some(Secret::new(text)),
            (None, Some(path)) => read_secret(&path).map_err(|detail| self.fault(file_name, &detail)).ok(),
            (None, None) => None,
        }
    }

    fn data_dir(&mut self, text: Option<String>, role: Role, work_server_is_set: bool) -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        let folder = text.map(PathBuf::from).or_else(|| Some(etcetera::choose_base_strategy().ok()?.data_dir().join("work-factory")));
        let is_needed = role == Role::Broker || (role == Role::All && !work_server_is_set);
        if folder.is_none() && is_needed {
            self.fault("BROKER_DATA_DIR", "must be set, because the user's data folder can't be found");
        }
        folder
    }
}

/// What stands for a value that has a fault; the settings are then never used.
trait Placeholder {
    fn placeholder() -> Self;
}

macro_rules! placeholder {
    ($($type:ty: $value:expr),* $(,)?) => {$(
        impl Placeholder for $type {
            fn placeholder() -> Self {
                $value
            }
        }
    )*};
}

placeholder! {
    Duration: Duration::ZERO,
    usize: 0,
    Vec<String>: Vec::new(),
    String: String::new(),
    LogFormat: LogFormat::Text,
    SocketAddr: SocketAddr::from(([0, 0, 0, 0], 0)),
}

/// The first line of a file. The path is not repeated: who sets a password where its file is meant would read it in the log.
fn read_secret(path: &str) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("must name a file that can be read: {error}"))?;
    match text.lines().next().map(str::trim_end) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err("must name a file whose first line is the password; that line is empty".into()),
    }
}

/// Orchestrators inject some variables with our prefixes, so an unknown one is only told.
fn unknown_variables(environment: &Environment) -> Vec<String> {
    let is_unknown = |name: &&String| {
        PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && !VARIABLES.iter().any(|variable| variable.name == name.as_str())
            && environment.variables.get("FAKTORY_PROVIDER") != Some(name)
    };
    let tell = |name: &String| {
        let near = VARIABLES.iter().map(|variable| (strsim::damerau_levenshtein(name, variable.name), variable.name)).min();
        match near {
            Some((distance, known)) if distance <= 3 => format!("{name} is not a known variable and has no effect; did you mean {known}?"),
            _ => format!("{name} is not a known variable and has no effect"),
        }
    };
    environment.variables.keys().filter(is_unknown).map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)], role: Role) -> Result<Loaded, ConfigError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Settings::load(&Environment::from_pairs(pairs), role)
    }

    #[test]
    fn every_default_is_valid() {
        let loaded = load(&[], Role::All).unwrap();
        assert_eq!(loaded.settings.link.max_connections, 50);
        assert_eq!(loaded.settings.api.max_body_bytes, 16 << 20);
        assert_eq!(loaded.settings.worker.queues, ["default"]);
        assert_eq!(loaded.settings.worker.bind, None);
        assert!(!loaded.settings.link.url_is_set);
        assert_eq!(loaded.warnings, [] as [String; 0]);
    }

    #[test]
    fn every_variable_is_read() {
        // A text that no variable but a free one accepts: each must be complained of.
        let free = ["FAKTORY_PROVIDER", "BROKER_DATA_DIR", "BROKER_PASSWORD"];
        for variable in VARIABLES.iter().filter(|variable| !free.contains(&variable.name)) {
            let error = load(&[(variable.name, "//?!=")], Role::All).unwrap_err();
            assert_eq!(error.problems[0].variable, variable.name);
        }
        assert!(load(&[("FAKTORY_PROVIDER", "NOT_THERE")], Role::All).is_err());
    }

    #[test]
    fn a_log_filter_without_a_level_is_a_typo() {
        for filter in ["verbose", "inf", "faktory_link"] {
            assert!(load(&[("RUST_LOG", filter)], Role::Api).is_err(), "{filter}");
        }
        for filter in ["info", "WARN", "off", "info,faktory_link=debug", "faktory_link=trace"] {
            assert!(load(&[("RUST_LOG", filter)], Role::Api).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_told_beside_the_faults() {
        let error = load(&[("WORKER_CONCURENCY", "3"), ("WORKER_CONCURRENCY", "zero")], Role::Worker).unwrap_err();
        assert!(error.to_string().contains("did you mean WORKER_CONCURRENCY?"), "{error}");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let error = load(&[("WORKER_CONCURRENCY", "many"), ("BIND_ADDR", "here"), ("FAKTORY_URL", "http://:geheim@x")], Role::Api);
        let error = error.unwrap_err();
        let names: Vec<_> = error.problems.iter().map(|problem| problem.variable.as_str()).collect();
        assert_eq!(names, ["FAKTORY_URL", "BIND_ADDR", "WORKER_CONCURRENCY"]);
        assert!(!error.to_string().contains("geheim"));
    }

    #[test]
    fn an_empty_value_is_none_and_case_matters() {
        let loaded = load(&[("FAKTORY_URL", " "), ("bind_addr", "nonsense"), ("BIND_ADDR", "127.0.0.1:4000")], Role::All).unwrap();
        assert!(!loaded.settings.link.url_is_set);
        assert_eq!(loaded.settings.api.bind.port(), 4000);
    }

    #[test]
    fn a_worker_refuses_a_read_timeout_that_an_empty_fetch_exceeds() {
        assert!(load(&[("FAKTORY_READ_TIMEOUT", "2s")], Role::Worker).is_err());
        assert!(load(&[("FAKTORY_READ_TIMEOUT", "2s")], Role::Api).is_ok());
        assert!(load(&[("FAKTORY_READ_TIMEOUT", "3s")], Role::All).is_ok());
    }

    #[test]
    fn a_misspelt_variable_is_told() {
        let loaded = load(&[("FAKTORY_MAX_CONECTIONS", "5"), ("FAKTORY_PORT", "tcp://10.0.0.1"), ("OTHER", "x")], Role::Api).unwrap();
        assert_eq!(loaded.warnings.len(), 2);
        assert!(loaded.warnings[0].contains("did you mean FAKTORY_MAX_CONNECTIONS?"));
    }

    #[test]
    fn secrets_come_from_files_and_are_never_shown() {
        let path = std::env::temp_dir().join(format!("wf-secret-{}", std::process::id()));
        std::fs::write(&path, "geheim\nrest\n").unwrap();
        let file = path.to_str().unwrap();
        let loaded = load(&[("FAKTORY_PASSWORD_FILE", file), ("BROKER_PASSWORD", "auch geheim")], Role::All).unwrap();
        assert_eq!(loaded.settings.link.url.password.as_ref().unwrap().reveal(), "geheim");
        let described = loaded.settings.describe(Role::Broker) + &loaded.settings.describe(Role::Api);
        assert!(!described.contains("geheim") && described.contains("[redacted]"), "{described}");
        assert!(load(&[("FAKTORY_PASSWORD_FILE", file), ("FAKTORY_URL", "tcp://:x@y")], Role::All).is_err());
        let mistaken = load(&[("FAKTORY_PASSWORD_FILE", "geheim123")], Role::All).unwrap_err();
        assert!(!mistaken.to_string().contains("geheim123"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_provider_names_the_variable_with_the_url() {
        let loaded = load(&[("FAKTORY_PROVIDER", "FAKTORY_MY_URL"), ("FAKTORY_MY_URL", "tcp://elsewhere:1")], Role::Api).unwrap();
        assert_eq!(loaded.settings.link.url.to_string(), "tcp://elsewhere:1");
        assert_eq!(loaded.warnings, [] as [String; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_utf8_is_a_fault_and_no_panic() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        let pairs = [("BIND_ADDR".into(), OsString::from_vec(vec![0xFF])), (OsString::from_vec(vec![0xFE]), "x".into())];
        let error = Settings::load(&Environment::from_pairs(pairs), Role::Api).unwrap_err();
        assert_eq!(error.problems[0].variable, "BIND_ADDR");
    }
}
