//! The API over real sockets, with the broker or a scripted server behind it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod binary;
mod jobs;
mod limits;
mod outcomes;
mod ready;
mod shutdown;
