//! The checked configuration. envy makes fields of the variables, all of them text; then each is
//! checked, so that every fault is told at once.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::check::Check;
use crate::config_error::{ConfigError, Problem, unknown_variables};
use crate::environment::Environment;
use crate::keys::Keys;
use crate::logs::{self, LogFormat};
use crate::parse;
use crate::queue_order::QueueOrder;
use crate::role::Role;
use crate::secret::Secret;
use crate::tls::{ClientTls, ServerTls};
use crate::variables::VARIABLES;
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
    /// How TLS is spoken to it; not at all where `None`.
    pub tls: Option<ClientTls>,
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
    /// TCP congestion control; the system's where `None`.
    pub congestion: Option<String>,
    /// Failures one after another that open the circuit; 0: never.
    pub breaker_failures: u32,
    /// Time until a probe while the circuit is open.
    pub breaker_open: Duration,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Its certificate; plain HTTP where `None`.
    pub tls: Option<ServerTls>,
    /// The keys, and the file that has them; everybody may post where `None`.
    pub keys: Option<(PathBuf, Keys)>,
    /// Names under which an API without keys is reached.
    pub allowed_hosts: Vec<String>,
    /// Every request has ended by then.
    pub request_timeout: Duration,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The most jobs in one batch.
    pub max_batch_jobs: usize,
    /// The most distinct queue names accepted.
    pub max_queues: usize,
    /// Args of so many bytes or more are compressed; none where `None`.
    pub compress_from: Option<usize>,
}

/// The worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Jobs run at once.
    pub concurrency: usize,
    /// Queues, and how they are chosen from.
    pub queues: QueueOrder,
    /// Connections for fetches at the most.
    pub max_fetch_lanes: usize,
    /// Jobs fetched ahead at the most.
    pub max_prefetch: usize,
    /// The longest that a run may take.
    pub job_timeout: Option<Duration>,
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
    /// Its certificate; no TLS where `None`.
    pub tls: Option<ServerTls>,
    /// Its password.
    pub password: Option<Secret>,
}

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
pub(crate) struct Texts {
    pub(crate) faktory_url: Option<String>,
    pub(crate) faktory_password_file: Option<String>,
    pub(crate) faktory_provider: Option<String>,
    pub(crate) faktory_tls_ca_file: Option<String>,
    pub(crate) faktory_tls_server_name: Option<String>,
    pub(crate) faktory_tls_cert_file: Option<String>,
    pub(crate) faktory_tls_key_file: Option<String>,
    pub(crate) faktory_max_connections: Option<String>,
    pub(crate) faktory_connection_timeout: Option<String>,
    pub(crate) faktory_read_timeout: Option<String>,
    pub(crate) faktory_write_timeout: Option<String>,
    pub(crate) faktory_keepalive_idle: Option<String>,
    pub(crate) faktory_keepalive_interval: Option<String>,
    pub(crate) faktory_tcp_congestion: Option<String>,
    pub(crate) faktory_breaker_failures: Option<String>,
    pub(crate) faktory_breaker_open: Option<String>,
    pub(crate) bind_addr: Option<String>,
    pub(crate) api_tls_cert_file: Option<String>,
    pub(crate) api_tls_key_file: Option<String>,
    pub(crate) api_keys_file: Option<String>,
    pub(crate) api_allow_unauthenticated: Option<String>,
    pub(crate) api_allowed_hosts: Option<String>,
    pub(crate) api_request_timeout: Option<String>,
    pub(crate) api_max_body_bytes: Option<String>,
    pub(crate) api_max_batch_jobs: Option<String>,
    pub(crate) api_max_queues: Option<String>,
    pub(crate) compress_min_bytes: Option<String>,
    pub(crate) worker_concurrency: Option<String>,
    pub(crate) worker_queues: Option<String>,
    pub(crate) worker_max_fetch_lanes: Option<String>,
    pub(crate) worker_max_prefetch: Option<String>,
    pub(crate) worker_job_timeout: Option<String>,
    pub(crate) worker_poll_interval_ms: Option<String>,
    pub(crate) worker_bind_addr: Option<String>,
    pub(crate) broker_bind_addr: Option<String>,
    pub(crate) broker_data_dir: Option<String>,
    pub(crate) broker_allow_unauthenticated: Option<String>,
    pub(crate) broker_tls_cert_file: Option<String>,
    pub(crate) broker_tls_key_file: Option<String>,
    pub(crate) broker_password: Option<String>,
    pub(crate) broker_password_file: Option<String>,
    pub(crate) shutdown_timeout: Option<String>,
    pub(crate) rust_log: Option<String>,
    pub(crate) log_format: Option<String>,
}

impl Settings {
    /// Checks an environment for what a process of this role needs.
    ///
    /// # Errors
    /// With every fault.
    pub fn load(environment: &Environment, role: Role) -> Result<Loaded, ConfigError> {
        let mut check = Check { problems: environment.problems.clone() };
        // envy folds cases and takes everything: it is given ours only, by their exact names.
        let known = environment
            .variables
            .iter()
            .filter(|(name, _)| VARIABLES.iter().any(|variable| variable.name == *name));
        let pairs = known.map(|(name, value)| (name.clone(), value.trim().to_owned()));
        let texts: Texts = envy::from_iter(pairs).unwrap_or_else(|error| {
            check.problems.push(Problem::new("environment", &error.to_string()));
            Texts::default()
        });
        let link = check.link(&texts, environment, role);
        let link_is_set = link.url_is_set;
        let api_bind = check.value("BIND_ADDR", texts.bind_addr, parse::address);
        // Files are only read where they are needed: a worker starts beside an API's keys that it
        // may not read.
        let (of_api, of_broker) =
            (|_: &String| role.runs_api(), |_: &String| role.runs_broker(link_is_set));
        let keys = check.keys(
            texts.api_keys_file.filter(of_api),
            api_bind,
            texts.api_allow_unauthenticated,
            role,
        );
        let broker_bind = check.value("BROKER_BIND_ADDR", texts.broker_bind_addr, parse::address);
        let has_password = texts.broker_password.is_some() || texts.broker_password_file.is_some();
        check.broker_access(
            broker_bind,
            has_password,
            texts.broker_allow_unauthenticated,
            role.runs_broker(link_is_set),
        );
        let settings = Self {
            link,
            api: ApiSettings {
                bind: api_bind,
                tls: check.server_tls(
                    ("API_TLS_CERT_FILE", texts.api_tls_cert_file.filter(of_api)),
                    ("API_TLS_KEY_FILE", texts.api_tls_key_file.filter(of_api)),
                ),
                keys,
                allowed_hosts: texts.api_allowed_hosts.map_or_else(Vec::new, |text| {
                    check.value("API_ALLOWED_HOSTS", Some(text), parse::hosts)
                }),
                request_timeout: check.value(
                    "API_REQUEST_TIMEOUT",
                    texts.api_request_timeout,
                    parse::duration,
                ),
                max_body_bytes: check.value(
                    "API_MAX_BODY_BYTES",
                    texts.api_max_body_bytes,
                    |text| parse::bytes(text, 1 << 30),
                ),
                max_batch_jobs: check.value(
                    "API_MAX_BATCH_JOBS",
                    texts.api_max_batch_jobs,
                    |text| parse::count(text, 1_000_000),
                ),
                max_queues: check.value("API_MAX_QUEUES", texts.api_max_queues, |text| {
                    parse::count(text, 1_000_000)
                }),
                compress_from: texts.compress_min_bytes.map(|text| {
                    check
                        .value("COMPRESS_MIN_BYTES", Some(text), |text| parse::bytes(text, 1 << 30))
                }),
            },
            worker: WorkerSettings {
                concurrency: check.value("WORKER_CONCURRENCY", texts.worker_concurrency, |text| {
                    parse::count(text, 10_000)
                }),
                queues: check.value("WORKER_QUEUES", texts.worker_queues, str::parse),
                max_fetch_lanes: check.value(
                    "WORKER_MAX_FETCH_LANES",
                    texts.worker_max_fetch_lanes,
                    |text| parse::count(text, 1000),
                ),
                max_prefetch: check.value(
                    "WORKER_MAX_PREFETCH",
                    texts.worker_max_prefetch,
                    |text| parse::count_or_none(text).map(|count| count as usize),
                ),
                job_timeout: texts
                    .worker_job_timeout
                    .map(|text| check.value("WORKER_JOB_TIMEOUT", Some(text), parse::duration)),
                poll_interval: check.value(
                    "WORKER_POLL_INTERVAL_MS",
                    texts.worker_poll_interval_ms,
                    parse::milliseconds,
                ),
                bind: texts
                    .worker_bind_addr
                    .map(|text| check.value("WORKER_BIND_ADDR", Some(text), parse::address)),
            },
            broker: BrokerSettings {
                bind: broker_bind,
                data_dir: check.data_dir(texts.broker_data_dir, role, link_is_set),
                tls: check.server_tls(
                    ("BROKER_TLS_CERT_FILE", texts.broker_tls_cert_file.filter(of_broker)),
                    ("BROKER_TLS_KEY_FILE", texts.broker_tls_key_file.filter(of_broker)),
                ),
                password: check.secret(
                    "BROKER_PASSWORD",
                    texts.broker_password.filter(of_broker),
                    "BROKER_PASSWORD_FILE",
                    texts.broker_password_file.filter(of_broker),
                ),
            },
            shutdown_timeout: check.value(
                "SHUTDOWN_TIMEOUT",
                texts.shutdown_timeout,
                parse::duration,
            ),
            log_filter: check.value("RUST_LOG", texts.rust_log, logs::check_filter),
            log_format: check.value("LOG_FORMAT", texts.log_format, LogFormat::parse),
        };
        if check.problems.is_empty() {
            Ok(Loaded { settings, warnings: unknown_variables(environment) })
        } else {
            Err(ConfigError { problems: check.problems, warnings: unknown_variables(environment) })
        }
    }
}
