//! Tests of the broker over real sockets. Where `FAKTORY_BIN` names a Faktory, suites that hold for
//! every work server run on it too.
#![expect(clippy::unwrap_used, reason = "tests")]

mod backup;
mod conformance;
mod delivery;
mod durability;
mod faktory_crate;
mod limits;
mod load;
mod many;
mod passwords;
mod private;
mod requeue;
mod transcripts;
