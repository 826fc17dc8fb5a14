//! The broker over real sockets; with `FAKTORY_BIN`, the same suites on a real Faktory.
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod delivery;
mod durability;
mod faktory_crate;
mod limits;
mod transcripts;
