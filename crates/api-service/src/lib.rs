#![doc = include_str!("../README.md")]

mod access;
mod answer;
mod batch_body;
mod body;
mod budget;
mod config;
mod encoding;
mod health;
mod jobs;
mod lines;
mod metrics;
mod problem;
mod queue_names;
mod request_id;
mod routes;
mod server;
mod state;
mod stream;

pub use access::AccessConfig;
pub use config::{ApiConfig, link_config};
pub use server::{Api, ApiError};
