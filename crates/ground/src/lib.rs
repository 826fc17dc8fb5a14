#![doc = include_str!("../README.md")]

mod block;
mod cache;
mod change;
mod error;
mod file;
mod ground;
mod key;
mod memory;
mod merge;
mod policy;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod tree;

pub use change::Change;
pub use error::GroundError;
pub use ground::{Ground, Options};
pub use key::{KEY_BYTES_MAX, Key};
