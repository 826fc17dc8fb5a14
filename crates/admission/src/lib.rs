#![doc = include_str!("../README.md")]

mod bounded_log;
mod failures;
mod names;
mod nets;
mod places;

pub use bounded_log::BoundedLog;
pub use failures::{FailureLimits, Failures, Refusal};
pub use names::{host_name, is_local_name, is_loopback_name};
pub use nets::{Nets, client_of};
pub use places::{Entry, Place, PlaceLimits, Places};
