#![doc = include_str!("../README.md")]

mod compressed;
mod context;
mod definition;
mod field_error;
mod finite;
pub mod jobs;
mod json_check;
mod members;
mod names;
mod new_job;
mod options;
mod registry;
mod run_error;
mod validate;

pub use compressed::{
    Compressed, ENCODING, UNPACKED_BYTES_MAX, UnpackError, compress, unpack, unpacked_bytes,
};
pub use context::JobContext;
pub use definition::{
    Argument, Definition, JobDefinition, JobFuture, MemberInfo, MemberValues, RunJob, WriteArg,
    args_of, positional, run,
};
pub use field_error::{Code, FieldError};
pub use finite::Finite;
pub use json_check::NESTING_MAX;
pub use members::{Element, Members};
pub use names::{JobId, JobType, QueueName};
pub use new_job::{NewJob, Saving};
pub use registry::{NameTwice, Registry};
pub use run_error::{RunError, Verdict};
pub use validate::{Form, validate_batch, validate_job};

#[doc(hidden)]
pub use faktory_wire::RawJson;
