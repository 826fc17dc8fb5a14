#![doc = include_str!("../README.md")]

mod access;
mod answer;
mod batch_body;
mod body;
mod budget;
mod compression;
mod config;
mod dedup;
mod encoding;
mod figures;
mod handlers;
mod idempotency_key;
mod idle;
mod layers;
mod lifecycle;
mod lines;
mod liveness;
mod long_work;
mod posting;
mod prefer;
mod probe;
mod problem;
mod queue_names;
mod request_id;
mod routes;
mod server;
mod slow_threads;
mod state;
mod streams;
mod unheard;
mod unread;

pub use config::ApiConfig;
pub use server::{Api, ApiError};
