//! The settings of a worker.

use std::net::SocketAddr;
use std::time::Duration;

use super::declare::settings;
use super::parse::{address, count, count_or_zero, duration, milliseconds, optional, size};
use crate::queue_order::QueueOrder;
use crate::quieting::QuietSignals;

settings! {
    /// The settings of a worker: its queues, how many jobs it runs at once, how far it fetches
    /// ahead.
    pub struct WorkerSettings {
        /// Jobs run at once.
        concurrency: usize = "WORKER_CONCURRENCY" or "50", count(10_000);

        /// Queues to work on, comma-separated, in strict order; with weights
        /// (`critical*5,default*3,bulk`) each is first that often.
        queues: QueueOrder = "WORKER_QUEUES" or "default", str::parse;

        /// Connections for fetches; never more than `FAKTORY_MAX_CONNECTIONS` less those for acks,
        /// one in twelve and four at the most.
        max_fetch_lanes: usize = "WORKER_MAX_FETCH_LANES" or "64", count(1000);

        /// Jobs fetched before there is a free slot to run them; 0: none. A cut of the link can
        /// leave so many reserved for nobody.
        max_prefetch: usize = "WORKER_MAX_PREFETCH" or "1000", count_or_zero;

        /// Memory for jobs that are read or wait for a slot, and as much again for those that run
        /// with what their args unpack to. While it is used up nothing more is fetched; a larger
        /// job runs alone.
        max_buffer_bytes: usize = "WORKER_MAX_BUFFER_BYTES" or "256MiB", size(u32::MAX as usize);

        /// A job that runs longer fails, where its type has no limit of its own; the job's
        /// `reserve_for` ends it in any case.
        job_timeout: Option<Duration> = "WORKER_JOB_TIMEOUT", optional(duration);

        /// Pause after an empty fetch, for all fetchers but the one that always waits at the work
        /// server; in milliseconds.
        poll_interval: Duration = "WORKER_POLL_INTERVAL_MS" or "100", milliseconds;

        /// Signals after which a worker fetches no more, finishes what it has, and stays: `TSTP`,
        /// `TTIN`, both (`TSTP,TTIN`) or `none`. `auto` is TTIN, and TSTP where the process has no
        /// terminal (in a terminal, Ctrl-Z sends it and stops the process).
        quiet_signal: QuietSignals = "WORKER_QUIET_SIGNAL" or "auto", str::parse;

        /// Where a worker answers `/health`, `/ready` and `/metrics`; nowhere where not set.
        bind: Option<SocketAddr> = "WORKER_BIND_ADDR", optional(address);
    }
}
