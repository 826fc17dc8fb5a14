#![doc = include_str!("../README.md")]

mod backup;
mod ballast;
mod block;
mod cache;
mod change;
mod error;
mod file;
mod floors;
mod ground;
mod hashed;
mod key;
mod memory;
mod merge;
mod options;
mod pending;
mod policy;
mod read;
mod run;
mod sizes;
#[cfg(test)]
mod tests;
mod tree;
mod verify;

pub use backup::backup;
pub use change::{Change, VALUE_BYTES_MAX};
pub use error::GroundError;
pub use ground::Ground;
pub use key::{KEY_BYTES_MAX, Key};
pub use options::Options;
pub use verify::{BadBlock, Contents, FileFault, Verified, salvage, verify};
