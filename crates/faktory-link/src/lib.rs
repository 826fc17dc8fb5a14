#![doc = include_str!("../README.md")]

mod breaker;
mod chunk;
mod codel;
mod config;
mod connect;
mod connection;
mod dispatch;
mod error;
mod estimate;
mod link_status;
mod observer;
mod outcome;
mod permit;
mod pool;
mod push_batch;
mod pusher;
mod queue;
mod send;
mod stream;
mod windowed_max;

pub use breaker::BreakerState;
pub use config::{LinkConfig, WorkerIdentity};
pub use connection::{Connection, Pending};
pub use error::{LinkError, Lost, Phase};
pub use link_status::LinkStatus;
pub use observer::{CommandTimes, Observer};
pub use outcome::{EncodedJob, JobOutcome, NotSent};
pub use permit::Permit;
pub use pool::{LinkPool, PoolFailure, Pooled};
pub use pusher::Pusher;
pub use queue::FairnessKey;
pub use stream::Tls;
pub use windowed_max::WindowedMax;
