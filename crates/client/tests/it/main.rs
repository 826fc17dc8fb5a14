//! The client against the real API, and against servers that misbehave.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod api;
mod cuts;
mod faults;
