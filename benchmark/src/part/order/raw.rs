//! The orders for a raw load and for the null server.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

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
    /// The number of queues: with more than one, each connection has a queue of its own, in turn.
    pub(crate) queues: usize,
    /// The time from which pushed jobs may run, where they are scheduled: within a second of this,
    /// the same for all jobs of a connection.
    pub(crate) due: Option<SystemTime>,
}

impl RawOrder {
    /// A load on a server with eight connections, sixteen commands in flight on each, without a
    /// warm-up, into one queue.
    pub(crate) const fn new(server: Server, work: RawWork, lasts: Duration) -> Self {
        let (connections, depth, warm_up) = (8, 16, Duration::ZERO);
        Self { server, work, connections, depth, warm_up, lasts, most: None, queues: 1, due: None }
    }
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
    /// PUSH of a job, then a FETCH, then an ACK of what it brought: as many jobs stay queued.
    Cycle,
}

impl RawWork {
    /// The number of jobs that one command pushes, or that one FETCH and its ACK take.
    pub(crate) const fn jobs(self) -> u64 {
        match self {
            Self::Push | Self::FetchAck | Self::Cycle => 1,
            Self::PushBatch(jobs) => jobs as u64,
        }
    }
}
