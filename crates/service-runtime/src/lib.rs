#![doc = include_str!("../README.md")]

mod environment;
mod logs;
mod parse;
mod role;
mod secret;
mod settings;
mod shutdown;
mod start;
mod variables;
mod work_server_url;

pub use environment::Environment;
pub use logs::LogFormat;
pub use role::Role;
pub use secret::Secret;
pub use settings::{ApiSettings, BrokerSettings, ConfigError, LinkSettings, Loaded, Problem, Settings, WorkerSettings};
pub use shutdown::{EndedAtOnce, Termination};
pub use start::{CONFIG_EXIT_CODE, report, start};
pub use variables::{VARIABLES, Variable, markdown_table};
pub use work_server_url::WorkServerUrl;
