#![doc = include_str!("../README.md")]

mod nets;

pub use nets::{Nets, client_of};
