//! What many jobs cost a work server: what it uses as it is filled, and what happened in it beside
//! a load.

use serde::{Deserialize, Serialize};

/// A work server that holds this many jobs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Depth {
    pub(crate) jobs: u64,
    /// Resident memory, in bytes.
    pub(crate) resident_bytes: u64,
    /// The files, in bytes.
    pub(crate) disk_bytes: u64,
    /// The time of each job that was filled in since the point before, in microseconds.
    pub(crate) fill_us: f64,
    /// The time of a job's PUSH, FETCH and ACK, many in flight, in microseconds.
    pub(crate) cycle_us: f64,
    /// The server's processor time for these, in microseconds.
    pub(crate) cycle_processor_us: f64,
}

/// What happened in a work server while a load was measured.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Beside {
    /// The jobs that it concerned.
    pub(crate) jobs: u64,
    /// The time that it took.
    pub(crate) seconds: f64,
}
