#![doc = include_str!("../README.md")]

mod breaker;
mod config;
mod connect;
mod connection;
mod dispatch;
mod error;
mod estimate;
mod lately;
mod observer;
mod outcome;
mod pool;
mod push_batch;
mod pusher;
mod queue;
mod standing_queue;
mod stream;

pub use breaker::BreakerState;
pub use config::{LinkConfig, WorkerIdentity};
pub use connection::{Connection, Pending};
pub use error::{LinkError, Lost, Phase};
pub use lately::Lately;
pub use observer::{CommandTimes, Observer};
pub use outcome::{EncodedJob, JobOutcome, NotSent};
pub use pool::{LinkPool, PoolFailure, Pooled};
pub use pusher::{LinkStatus, Pusher, Room};
pub use queue::Source;
pub use stream::Tls;
