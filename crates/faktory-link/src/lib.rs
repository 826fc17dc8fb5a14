#![doc = include_str!("../README.md")]

mod coalescer;
mod config;
mod connect;
mod connection;
mod error;
mod outcome;
mod pool;
mod push_batch;

pub use coalescer::Pusher;
pub use config::{LinkConfig, WorkerIdentity};
pub use connection::{Connection, Pending};
pub use error::{LinkError, Lost, Phase};
pub use outcome::{EncodedJob, JobOutcome, NotSent};
pub use pool::{LinkPool, PoolFailure, Pooled};
