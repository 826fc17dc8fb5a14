//! The order for the attendant, its tasks and its answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server::Server;

/// The attendant: a client beside the work server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttendantOrder {
    pub(crate) server: Server,
}

/// A task for the attendant.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Attend {
    /// Pushes jobs into a queue: each with a number, no time of posting, and a length from
    /// `takes`, in turn.
    Fill { queue: String, count: u64, takes: Vec<Duration> },
    /// Pushes jobs one at a time.
    Trickle(Trickle),
    /// Fetches and acknowledges all jobs of a queue.
    Drain { queue: String },
    /// Counts the jobs in a queue.
    Size { queue: String },
    /// Counts the jobs in all queues.
    SizeOfAll,
    /// Pauses a queue: no more fetches from it.
    Pause { queue: String },
    /// Removes a queue with its jobs.
    Remove { queue: String },
    /// Removes everything that the server holds.
    Flush,
    /// Counts the jobs that are fetched and not acknowledged.
    Working,
    /// Reads the sizes of the server's sets, and its count of failures.
    Sets,
    /// Reads the server's name and version.
    Version,
}

/// Jobs that are pushed one at a time, at random times.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trickle {
    pub(crate) queue: String,
    /// The number of the first job.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// The mean time between two jobs.
    pub(crate) apart: Duration,
    /// The lengths of the jobs, in turn.
    pub(crate) takes: Vec<Duration>,
    /// The numbers of retries of the jobs, in turn.
    pub(crate) retries: Vec<i64>,
}

/// The sizes of a work server's sets, and its count of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Sets {
    pub(crate) working: u64,
    pub(crate) retries: u64,
    pub(crate) dead: u64,
    pub(crate) scheduled: u64,
    /// All failures since the server's first start.
    pub(crate) failures: u64,
}

/// The attendant's answer to a task.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Attended {
    Done,
    /// Jobs in the queue, or in the working set.
    Size(u64),
    /// Jobs that were in the queue, and the different jobs among these.
    Drained {
        jobs: u64,
        distinct: u64,
    },
    Sets(Sets),
    /// The server's name and version.
    Version(String),
}
