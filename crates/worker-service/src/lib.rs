#![doc = include_str!("../README.md")]

mod ack_lane;
mod blocking;
mod buffer;
mod builder;
mod config;
mod cost;
#[cfg(feature = "faktory-crate")]
pub mod faktory_crate;
mod fetch_lane;
mod fetch_line;
mod flow;
mod handler;
mod health;
mod intake;
mod lanes_runtime;
mod lifecycle;
mod metrics;
mod outcome;
mod panics;
mod prefetch;
mod registry;
mod reporting;
mod requeue;
mod run;
mod running_jobs;
mod running_worker;
mod slot;
pub mod testing;
mod typed;

pub use allocator::Allocator;
pub use blocking::blocking;
pub use builder::{Worker, WorkerBuilder};
pub use config::WorkerConfig;
pub use faktory_wire::Job;
pub use handler::{Handler, HandlerFuture};
pub use job_types::{JobContext, Registry, RunError};
pub use outcome::{Failure, IntoOutcome, Outcome};
pub use run::{run, run_with};
pub use running_worker::{HeldBytes, RunningWorker};
pub use service_runtime::{QueueOrder, TaskEnded};
