//! The orders for a raw load and for the null server.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server::Server;

/// A server that answers as a work server does, and keeps nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NullOrder {
    pub(crate) bind: SocketAddr,
}

/// A raw load: prepared bytes over bare sockets, as many commands in flight as ordered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RawOrder {
    pub(crate) server: Server,
    pub(crate) work: RawWork,
    pub(crate) connections: usize,
    /// Commands in flight on each connection.
    pub(crate) depth: usize,
    pub(crate) warm_up: Duration,
    /// The measured time after the warm-up.
    pub(crate) lasts: Duration,
    /// The most jobs, warm-up included. With the last one the measured time ends early.
    pub(crate) most: Option<u64>,
}

/// The commands of a raw load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RawWork {
    /// PUSH of one job.
    Push,
    /// PUSHB of this many jobs.
    PushBatch(usize),
    /// FETCH of a job, and its ACK as soon as the job is there.
    FetchAck,
}

impl RawWork {
    /// The number of jobs that one command pushes, or that one FETCH and its ACK take.
    pub(crate) const fn jobs(self) -> u64 {
        match self {
            Self::Push | Self::FetchAck => 1,
            Self::PushBatch(jobs) => jobs as u64,
        }
    }
}
