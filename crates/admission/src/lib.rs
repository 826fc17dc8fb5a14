#![doc = include_str!("../README.md")]

mod bounded_log;
mod failures;
mod nets;

pub use bounded_log::BoundedLog;
pub use failures::{FailureLimits, Failures, Refusal};
pub use nets::{Nets, client_of};
