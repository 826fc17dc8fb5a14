//! The API over real sockets, with the broker or a scripted server behind it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod access;
mod bad_input;
mod binary;
mod breaker;
mod drain;
mod encodings;
mod hosts;
mod jobs;
mod large_jobs;
mod limits;
mod log_lines;
mod metrics;
mod once;
mod outcomes;
mod overload;
mod own_jobs;
mod pause;
mod ready;
mod revoked;
mod shutdown;
mod stream;
mod stream_input;
