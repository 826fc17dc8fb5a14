//! What parts are told, and what they tell.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use faktory_link::LinkConfig;
use serde::{Deserialize, Serialize};

use crate::measure::Latency;

/// What a part is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Broker(BrokerOrder),
    Faktory(FaktoryOrder),
    Brake(BrakeOrder),
    Api(ApiOrder),
    Load(LoadOrder),
    Worker(WorkerOrder),
    Attendant(AttendantOrder),
}

/// What a part tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// It does its work from now on; servers say where they listen.
    Ready(Option<SocketAddr>),
    /// An API is ready for jobs, so long after its process was started.
    Serves { after_us: u64 },
    /// What counts begins.
    Measuring,
    /// What counts has ended.
    Measured,
    /// The load is done.
    Loaded(Box<LoadReport>),
    /// What a worker has run.
    Ran(Box<WorkerReport>),
    /// What an attendant was asked.
    Attended(Attended),
    /// It can't go on.
    Failed(String),
}

/// A work server as a part reaches it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Server {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), password: None }
    }

    /// For our own link.
    pub(crate) fn link(&self, connections: usize) -> LinkConfig {
        LinkConfig { max_connections: connections, ..self.reached_with(LinkConfig::new("", 0)) }
    }

    /// For a link that is configured otherwise already.
    pub(crate) fn reached_with(&self, link: LinkConfig) -> LinkConfig {
        LinkConfig {
            host: self.host.clone(),
            port: self.port,
            password: self.password.clone(),
            ..link
        }
    }

    /// The same for a link that nobody probes: a circuit that opens would stay open.
    pub(crate) fn link_without_breaker(&self, connections: usize) -> LinkConfig {
        LinkConfig { breaker_failures: 0, ..self.link(connections) }
    }

    /// For the faktory crate.
    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("tcp://:{password}@{}:{}", self.host, self.port),
            None => format!("tcp://{}:{}", self.host, self.port),
        }
    }
}

impl Order {
    /// The product's variables that the part is started with.
    pub(crate) const fn variables(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Api(order) => Some(&order.variables),
            Self::Worker(order) => Some(&order.variables),
            Self::Broker(_)
            | Self::Faktory(_)
            | Self::Brake(_)
            | Self::Load(_)
            | Self::Attendant(_) => None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BrokerOrder {
    pub(crate) bind: SocketAddr,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FaktoryOrder {
    pub(crate) bind: SocketAddr,
    pub(crate) program: PathBuf,
}

/// A work server that takes no more than so many jobs a second: what stands before it holds the
/// rest back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BrakeOrder {
    pub(crate) bind: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) jobs_per_second: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ApiOrder {
    pub(crate) server: Server,
    /// The product's variables that it is started with.
    pub(crate) variables: BTreeMap<String, String>,
    /// When its process was started.
    pub(crate) began_us: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttendantOrder {
    pub(crate) server: Server,
}

/// How jobs get to the work server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Via {
    /// Over HTTP, through the API.
    Http,
    /// Over our link, without HTTP.
    Link,
    /// Our worker.
    Worker,
    /// The faktory crate, as its documentation shows it: the baseline.
    Crate,
}

impl Via {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Link => "link",
            Self::Worker => "worker",
            Self::Crate => "crate",
        }
    }

    pub(crate) const fn is_baseline(self) -> bool {
        matches!(self, Self::Crate)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoadOrder {
    pub(crate) via: Via,
    pub(crate) api: Option<String>,
    pub(crate) server: Option<Server>,
    /// Connections to the work server at the most, for the link and for the baseline.
    pub(crate) connections: usize,
    pub(crate) queue: String,
    /// So many queues, whose names begin with that one's; 1: only that one.
    pub(crate) queues: u64,
    pub(crate) shape: Shape,
    pub(crate) batch: usize,
    pub(crate) pattern: Pattern,
    pub(crate) warm_up: Duration,
}

/// What the jobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// `add` of the job's number and 1: the smallest typed job.
    Add,
    /// For a worker of the benchmark: number, when it was to be posted, how long it takes.
    Timed { takes: Duration },
    /// Args of 10 KB: a list of events, as the corpus of job-types has them.
    Events,
}

/// When requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Pattern {
    /// So many clients, each with one request at a time.
    Closed { clients: usize, until: Until },
    /// So many requests a second, whatever becomes of those before.
    Open { per_second: f64, lasts: Duration },
}

/// When a closed loop ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Until {
    /// After a time.
    Time(Duration),
    /// After so many jobs, sent as one stream of lines.
    Streamed { count: u64 },
    /// After so many jobs, or after a time if that comes first.
    Jobs { count: u64, at_most: Duration },
}

/// Requests of which nothing was stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) latency: Latency,
    /// Why: the different reasons, up to where their figures begin.
    pub(crate) reasons: Vec<String>,
}

/// What a load saw.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    /// Jobs that count: answered as stored within what was measured.
    pub(crate) jobs: u64,
    /// How long what was measured took, in seconds.
    pub(crate) seconds: f64,
    /// Of each request of which anything was stored, from its beginning, or from when it was to
    /// begin.
    pub(crate) latency: Latency,
    /// Of each of which nothing was.
    #[serde(default)]
    pub(crate) refused: Refused,
    /// Jobs answered as stored in each [`BIN_US`] of what was measured, where that went by time.
    #[serde(default)]
    pub(crate) timeline: Vec<u64>,
    /// Of each request, where they are few.
    #[serde(default)]
    pub(crate) each_us: Vec<u64>,
    /// Numbers given to jobs, warm-up included: 0 up to this.
    pub(crate) numbered: u64,
    /// Jobs answered as stored, warm-up included.
    pub(crate) stored: u64,
    /// Jobs of which nobody knows.
    pub(crate) unknown: u64,
    /// Jobs that were not stored.
    pub(crate) not_stored: u64,
    /// The first few reasons.
    pub(crate) errors: Vec<String>,
    /// A count was asked for, and time ran out first.
    pub(crate) cut_short: bool,
    /// In an open loop: how late requests began because the generator itself was late, 99th
    /// percentile, in microseconds.
    pub(crate) generator_late_p99_us: Option<u64>,
}

/// What a worker's handlers do for as long as a job takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Handlers {
    Sleep,
    /// On a thread for such work.
    UseProcessor,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerOrder {
    pub(crate) via: Via,
    pub(crate) server: Server,
    pub(crate) queue: String,
    pub(crate) concurrency: usize,
    /// The product's variables that ours is started with, queue and concurrency among them.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) handlers: Handlers,
    /// Where it notes what it runs, for those who outlive it; see
    /// [`RunLog`](super::run_log::RunLog).
    pub(crate) log: Option<PathBuf>,
}

/// Asks a worker what it has run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerQuestion {
    /// Runs that ended in this span count.
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
}

/// How long each step of a timeline is, in microseconds.
pub(crate) const BIN_US: u64 = 250_000;
/// Steps of a timeline at the most: of longer ones there is no chart.
const TIMELINE_MAX: usize = 4000;

/// Notes jobs at a moment of a timeline, counted from its beginning.
pub(crate) fn note_at(timeline: &mut Vec<u64>, us: u64, jobs: u64) {
    let bin = (us / BIN_US) as usize;
    if bin < TIMELINE_MAX {
        timeline.resize(timeline.len().max(bin + 1), 0);
        timeline.get_mut(bin).into_iter().for_each(|known| *known += jobs);
    }
}

/// What a worker has run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WorkerReport {
    /// All runs, warm-up included.
    pub(crate) runs: u64,
    /// Different jobs among them.
    pub(crate) distinct: u64,
    /// Runs that ended in the span.
    pub(crate) counted: u64,
    /// Handlers' time within the span, added up, in seconds.
    pub(crate) handler_seconds: f64,
    /// From when a job was to be posted to the end of its run, for runs that ended in the span.
    pub(crate) latency: Latency,
    /// How long runs took that ended in the span.
    pub(crate) took: Latency,
    /// From when the work server put a job into its queue to the beginning of its run, for jobs
    /// that ask for it.
    pub(crate) waited: Latency,
    /// The most jobs that it had fetched and not finished at any time.
    pub(crate) held: u64,
    /// When the last run ended.
    pub(crate) last_end_us: u64,
    /// Runs that ended in each [`BIN_US`] of the span.
    pub(crate) timeline: Vec<u64>,
}

/// What an attendant is asked to do, on the work server's side.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Attend {
    /// Put jobs into a queue: number, no time of posting, and how long each takes, in turn.
    Fill { queue: String, count: u64, takes: Vec<Duration> },
    /// Push jobs one at a time.
    Trickle(Trickle),
    /// Fetch and acknowledge what is in a queue.
    Drain { queue: String },
    /// How many jobs are in a queue.
    Size { queue: String },
    /// How many jobs are in all queues.
    SizeOfAll,
    /// No fetches from it any more.
    Pause { queue: String },
    /// Remove it with all that is in it.
    Remove { queue: String },
    /// Remove everything that the server holds.
    Flush,
    /// How many jobs are fetched and not acknowledged.
    Working,
    /// What is in its sets, and what it has counted.
    Sets,
    /// What the server says of itself.
    Version,
}

/// Jobs that come one at a time, at random moments.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trickle {
    pub(crate) queue: String,
    /// The number of the first.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// How far apart they are on average.
    pub(crate) apart: Duration,
    /// How long each takes, in turn.
    pub(crate) takes: Vec<Duration>,
    /// How often each is tried again, in turn.
    pub(crate) retries: Vec<i64>,
}

/// What is in a work server's sets, and what it has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Sets {
    pub(crate) working: u64,
    pub(crate) retries: u64,
    pub(crate) dead: u64,
    pub(crate) scheduled: u64,
    /// Ever.
    pub(crate) failures: u64,
}

/// What an attendant found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Attended {
    Done,
    /// Jobs in the queue, or in the working set.
    Size(u64),
    /// What was in the queue.
    Drained {
        jobs: u64,
        distinct: u64,
    },
    Sets(Sets),
    /// The server's name and version.
    Version(String),
}
