//! The whole product as people use it: the binaries as processes, the commands of the documents,
//! crashes under load.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod binary;
mod broker_time;
mod crash;
mod deploy;
mod descriptors;
mod documents;
mod end_to_end;
mod healthcheck;
mod keys;
mod log_lines;
mod memory;
mod own_jobs;
mod pause;
mod private_files;
mod profiles;
mod readme;
mod stores;
mod tls;
