#![doc = include_str!("../README.md")]

mod ack_lane;
mod backoff;
mod builtin;
mod config;
#[cfg(feature = "faktory-crate")]
pub mod faktory_crate;
mod fetch_lane;
mod handler;
mod health;
mod outcome;
mod panics;
mod running_jobs;
mod shared;
mod worker;

pub use config::{WorkerConfig, link_config};
pub use faktory_wire::Job;
pub use handler::{Handler, HandlerFuture};
pub use outcome::{Failure, IntoOutcome, Outcome};
pub use worker::{RunningWorker, Worker, WorkerBuilder};
