#![doc = include_str!("../README.md")]

mod breaker;
mod config;
mod connect;
mod connection;
mod dispatch;
mod error;
mod estimate;
mod observer;
mod outcome;
mod pool;
mod push_batch;
mod pusher;
mod queue;
mod standing_queue;
mod stream;
mod windowed_max;

pub use breaker::BreakerState;
pub use config::{LinkConfig, WorkerIdentity};
pub use connection::{Connection, Pending};
pub use error::{LinkError, Lost, Phase};
pub use observer::{CommandTimes, Observer};
pub use outcome::{EncodedJob, JobOutcome, NotSent};
pub use pool::{LinkPool, PoolFailure, Pooled};
pub use pusher::{LinkStatus, Pusher, Room};
pub use queue::Source;
pub use stream::Tls;
pub use windowed_max::WindowedMax;
