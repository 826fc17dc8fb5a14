#![doc = include_str!("../README.md")]

mod bounded_log;
mod nets;

pub use bounded_log::BoundedLog;
pub use nets::{Nets, client_of};
