#![doc = include_str!("../README.md")]

mod config_error;
mod descriptors;
pub mod documents;
mod environment;
mod healthcheck;
mod keys;
mod logs;
pub mod metrics;
mod queue_order;
mod queue_set;
mod quieting;
mod role;
mod run;
mod secret;
mod settings;
mod shutdown;
mod start;
mod tasks;
mod tls;
pub mod units;
mod watched;
mod work_server_url;

pub use config_error::{ConfigError, Problem};
pub use descriptors::{Connections, STORE_FILES};
pub use environment::Environment;
pub use healthcheck::healthcheck;
pub use keys::{Key, KeyHash, Keys, Scope};
pub use listener::listen;
pub use logs::{LogFormat, plain_text};
pub use queue_order::QueueOrder;
pub use queue_set::QueueSet;
pub use quieting::{QuietSignals, Quieting};
pub use role::Role;
pub use run::run;
pub use secret::Secret;
pub use settings::{
    ApiSettings, BrokerSettings, COMPONENTS, Component, JOB_BYTES_MAX, LinkSettings, Loaded,
    ProcessSettings, Settings, Variable, WorkerSettings, broker_data_dir, variables,
};
pub use shutdown::{EndedAtOnce, Termination};
pub use start::{CONFIG_EXIT_CODE, report, start};
pub use tasks::{TaskEnded, Tasks};
pub use tls::{ClientTls, ServerTls, TlsFile, TlsFileFault};
pub use watched::{Contents, LOOK_EVERY, Watched};
pub use work_server_url::WorkServerUrl;
