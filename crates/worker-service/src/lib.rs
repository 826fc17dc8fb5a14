#![doc = include_str!("../README.md")]

mod ack_lane;
mod backoff;
mod buffer;
mod builtin;
mod config;
mod context;
#[cfg(feature = "faktory-crate")]
pub mod faktory_crate;
mod fetch_lane;
mod fetch_line;
mod giving_back;
mod handler;
mod health;
mod lanes_runtime;
mod metrics;
mod outcome;
mod panics;
mod place;
mod prefetch;
mod report;
mod reports;
mod running_jobs;
mod shared;
mod unconfirmed;
mod worker;

pub use config::{WorkerConfig, link_config};
pub use context::JobContext;
pub use faktory_wire::Job;
pub use handler::{Handler, HandlerFuture};
pub use outcome::{Failure, IntoOutcome, Outcome};
pub use service_runtime::QueueOrder;
pub use worker::{RunningWorker, Worker, WorkerBuilder};
