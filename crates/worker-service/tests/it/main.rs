//! The worker over real sockets, with the broker, a Faktory where there is one, or a scripted
//! server behind it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod again;
mod binary;
mod compressed;
mod given_back;
mod jobs;
mod many;
mod memory;
mod metrics;
mod pause;
mod quirks;
mod refused;
mod running;
mod shutdown;
mod signals;
mod typed;
mod way;
