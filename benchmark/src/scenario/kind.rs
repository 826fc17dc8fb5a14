//! A scenario: its name, its kind with the numbers that it needs, and the ways through it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::part::order::{Attack, RawWork, Via};

/// One scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scenario {
    /// The name on the command line and in reports.
    pub(crate) name: String,
    /// A description in one line.
    pub(crate) title: String,
    pub(crate) kind: Kind,
    /// The figure that is compared first.
    pub(crate) focus: Focus,
}

/// The main figure of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Focus {
    /// Jobs a second.
    Throughput,
    /// The time of each request or job.
    Latency,
    /// The time of the whole.
    Duration,
}

/// The kind of a scenario: what happens while it is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Jobs are posted; no worker runs them.
    Enqueue { batch: usize, pace: Pace },
    /// An API is started anew, and a client posts a number of batches as soon as the API is ready,
    /// one after the other. This is done a number of times.
    AfterReady { batch: usize, requests: u64, times: usize },
    /// Requests are made at a rate that is more than the work server takes.
    Overload { batch: usize, per_second: f64 },
    /// The work server ends, and clients go on posting.
    Outage { clients: usize },
    /// Single jobs are posted at a rate, beside a hostile client; without an attack, alone.
    Hostile { attack: Option<Attack>, per_second: f64 },
    /// A worker runs jobs that lie in its queue.
    Work { concurrency: usize, mix: Mix },
    /// Jobs come one at a time to an idle worker.
    Idle { concurrency: usize, jobs: u64 },
    /// Several workers share jobs that are posted all at once.
    Sharing { workers: usize, concurrency: usize, jobs: u64, takes: Duration },
    /// A worker is told to end, a number of times: under full load, or a second after its queue has
    /// run dry.
    Ending { concurrency: usize, times: usize, dry: bool },
    /// Workers start and end at random while jobs are posted.
    Chaos { workers: usize, concurrency: usize, lasts: Duration },
    /// The link is cut for a while under a worker that has enough to do.
    Cut { concurrency: usize, takes: Duration, lasts: Duration },
    /// Jobs are posted at a rate, and a worker runs them.
    EndToEnd { per_second: f64, concurrency: usize },
    /// Clients post one job at a time, whatever the outcome. The link is cut for a while; for no
    /// cut, `cut` is zero.
    Posting { clients: usize, cut: Duration },
    /// Single jobs are posted with silence between them.
    Silence { lasts: Duration, times: u32 },
    /// Jobs with args of 10 KB are posted.
    Payloads { clients: usize, batch: usize },
    /// A number of jobs is posted into a number of queues.
    Queues { jobs: u64, queues: u64 },
    /// A worker runs jobs of 10 ms, of which every twentieth never ends.
    Hanging { concurrency: usize },
    /// A worker runs jobs that use the processor.
    Busy { concurrency: usize, takes: Duration },
    /// Servers side by side under the same raw load.
    Raw { work: RawWork, connections: usize, depth: usize, queues: usize },
    /// A server is killed under load, and started anew.
    Restart,
    /// Scheduled jobs become due within one second.
    Due { jobs: u64 },
    /// A server is filled with the jobs that it then holds; what it uses meanwhile is noted.
    Fill,
    /// Single jobs are posted at a rate while something large happens in the server.
    Beside { event: Large, per_second: f64 },
    /// Records are written into a file of zeros, one at a time, and synced each. No server runs.
    Sync,
}

/// Something that concerns very many jobs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Large {
    /// It does not happen: this is what it is compared with.
    Nothing,
    /// This many jobs become due within one second.
    Due { jobs: u64 },
    /// The queue of all jobs is removed.
    Remove,
}

/// The pace of a load: when requests are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// This many clients, each with one request at a time, for the measured time.
    Clients(usize),
    /// This many clients until a number of jobs is posted.
    Jobs { clients: usize, count: u64 },
    /// This many jobs in one request.
    Stream { count: u64 },
    /// This many requests a second at intended times, whatever happens to earlier requests.
    PerSecond(f64),
}

/// The lengths of jobs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mix {
    /// All jobs have the same length.
    All(Duration),
    /// Jobs of 10 ms; every twentieth takes 1 s.
    SomeLong,
}

impl Scenario {
    /// The possible ways through the scenario, ours first.
    pub(crate) const fn vias(&self) -> &'static [Via] {
        match self.kind {
            Kind::AfterReady { .. }
            | Kind::Overload { .. }
            | Kind::Outage { .. }
            | Kind::Enqueue { pace: Pace::Stream { .. }, .. }
            | Kind::Payloads { .. }
            | Kind::Queues { .. } => &[Via::Http],
            Kind::Enqueue { .. } => &[Via::Http, Via::Link, Via::Crate],
            Kind::Hostile { .. } => &[Via::Http, Via::Link],
            Kind::Raw { .. }
            | Kind::Restart
            | Kind::Due { .. }
            | Kind::Fill
            | Kind::Beside { .. }
            | Kind::Sync => &[Via::Raw],
            Kind::Work { .. } => &[Via::Worker, Via::Crate],
            Kind::Idle { .. }
            | Kind::Sharing { .. }
            | Kind::Ending { .. }
            | Kind::Chaos { .. }
            | Kind::Cut { .. }
            | Kind::Hanging { .. }
            | Kind::Busy { .. } => &[Via::Worker],
            Kind::EndToEnd { .. } | Kind::Posting { .. } | Kind::Silence { .. } => {
                &[Via::Http, Via::Crate]
            }
        }
    }
}
