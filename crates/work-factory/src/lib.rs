#![doc = include_str!("../README.md")]

mod faults;
mod keys;
mod parts;
mod run;
mod screen;
mod stores;

pub use allocator::Allocator;
pub use api_service::Registry;
pub use run::run;
