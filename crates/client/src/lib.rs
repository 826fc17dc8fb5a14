#![doc = include_str!("../README.md")]

mod answer;
mod batch;
mod builder;
mod keys;
mod new_job;
mod outcome;
mod post;
mod retry;
mod stream;

pub use builder::{BuildError, Builder, Client};
pub use new_job::NewJob;
pub use outcome::{FieldFault, JobOutcome, PostError, Problem};
pub use stream::{StreamResult, StreamResults};
