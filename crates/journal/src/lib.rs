#![doc = include_str!("../README.md")]

mod copy;
mod damage;
mod disk;
pub mod document;
mod file_log;
mod log;
mod manifest;
mod number;
mod options;
mod record;
mod scan;
mod segment;
mod shared;
mod take;
#[cfg(test)]
mod tests;
mod verify;
mod watch;

pub use copy::{CopyError, copy};
pub use damage::{Damage, Fault, OpenError, Tail};
#[cfg(any(test, feature = "sim"))]
pub use disk::sim;
pub use disk::{Disk, DiskFile, Folder, FolderFile, free_bytes};
pub use file_log::{FileLog, Opened};
pub use log::{AppendError, Log, LogFailed, Wake};
pub use number::{Epoch, Number};
pub use options::Options;
pub use record::RECORD_BYTES_MAX;
pub use take::{Take, TakeError};
pub use verify::{FileFault, Verified, verify};
pub use watch::Watch;
