//! The order for a worker, the question to it, and its report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::server::Server;
use super::via::Via;
use crate::measure::Latency;

/// A worker whose handlers run the benchmark's jobs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerOrder {
    pub(crate) via: Via,
    pub(crate) server: Server,
    pub(crate) queue: String,
    pub(crate) concurrency: usize,
    /// The product's variables with which our worker is started, queue and concurrency included.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) handlers: Handlers,
    /// The file in which the worker notes its runs, for readers that outlive the worker; see
    /// [`RunLog`](crate::part::run_log::RunLog).
    pub(crate) log: Option<PathBuf>,
}

/// What a handler does for the length of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Handlers {
    /// The handler sleeps.
    Sleep,
    /// The handler uses the processor, on a thread for blocking work.
    UseProcessor,
}

/// Asks a worker for the jobs that it has run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerQuestion {
    /// The beginning of the span: runs that ended in the span count.
    pub(crate) from_us: u64,
    /// The end of the span.
    pub(crate) to_us: u64,
}

/// The answer of a worker.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WorkerReport {
    /// All runs, warm-up included.
    pub(crate) runs: u64,
    /// Different jobs among all runs.
    pub(crate) distinct: u64,
    /// Runs that ended in the span.
    pub(crate) counted: u64,
    /// The sum of the handlers' time within the span, in seconds.
    pub(crate) handler_seconds: f64,
    /// From a job's intended time of posting to the end of its run, for runs that ended in the
    /// span.
    pub(crate) latency: Latency,
    /// The length of the runs that ended in the span.
    pub(crate) took: Latency,
    /// From the time at which the work server put a job into its queue to the beginning of the
    /// job's run, for jobs that ask for it.
    pub(crate) waited: Latency,
    /// The most jobs that the worker had fetched and not finished at any time.
    pub(crate) held: u64,
    /// The end of the last run.
    pub(crate) last_end_us: u64,
    /// Runs that ended in each [`BIN_US`](super::BIN_US) of the span.
    pub(crate) timeline: Vec<u64>,
}
