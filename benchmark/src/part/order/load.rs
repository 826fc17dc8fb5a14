//! The order for a load, and the load's report.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server::Server;
use super::via::Via;
use crate::measure::Latency;

/// A load: requests that post jobs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoadOrder {
    pub(crate) via: Via,
    pub(crate) api: Option<String>,
    /// The key for the API, where it asks for one.
    pub(crate) key: Option<String>,
    pub(crate) server: Option<Server>,
    /// The most connections to the work server, for the link and for the baseline.
    pub(crate) connections: usize,
    pub(crate) queue: String,
    /// The number of queues. With 1, jobs go to `queue`; with more, to queues whose names begin
    /// with `queue`.
    pub(crate) queues: u64,
    pub(crate) shape: Shape,
    pub(crate) batch: usize,
    pub(crate) pattern: Pattern,
    pub(crate) warm_up: Duration,
    /// Whether a client also connects anew each second and asks a question.
    pub(crate) probe: bool,
}

/// The kind of jobs that a load posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// `add` of the job's number and 1: the smallest typed job.
    Add,
    /// A job for the benchmark's workers: number, intended time of posting, length.
    Timed { takes: Duration },
    /// A job with args of 10 KB: a list of events, as the corpus of job-types has them.
    Events,
}

/// The times at which a load makes requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Pattern {
    /// A closed loop: this many clients, each with one request at a time.
    Closed { clients: usize, until: Until },
    /// An open loop: this many requests a second, whatever happens to earlier requests.
    Open { per_second: f64, lasts: Duration },
}

/// The end of a closed loop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Until {
    /// After a time.
    Time(Duration),
    /// After this many jobs, sent as one stream of lines.
    Streamed { count: u64 },
    /// After this many jobs, or after a time if that is earlier.
    Jobs { count: u64, at_most: Duration },
}

/// The requests of which no job was stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) latency: Latency,
    /// The different reasons, each up to its first figure.
    pub(crate) reasons: Vec<String>,
}

/// What a client saw that connected anew each second and asked a question.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Probed {
    /// From the beginning of the connection to the answer.
    pub(crate) latency: Latency,
    /// Questions without an answer.
    pub(crate) failures: u64,
    /// The reason of the first of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The result of a load.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    /// Jobs answered as stored within the measured time.
    pub(crate) jobs: u64,
    /// The length of the measured time, in seconds.
    pub(crate) seconds: f64,
    /// Latencies of requests of which at least one job was stored: in a closed loop from the
    /// request's beginning, in an open loop from its intended time.
    pub(crate) latency: Latency,
    /// The requests of which no job was stored.
    #[serde(default)]
    pub(crate) refused: Refused,
    #[serde(default)]
    pub(crate) probed: Probed,
    /// Jobs answered as stored in each [`BIN_US`](super::BIN_US), for a load that lasts a time.
    #[serde(default)]
    pub(crate) timeline: Vec<u64>,
    /// The latency of each request, where there are few requests.
    #[serde(default)]
    pub(crate) each_us: Vec<u64>,
    /// The number of jobs that got a number, warm-up included: their numbers are 0 up to this.
    pub(crate) numbered: u64,
    /// Jobs answered as stored, warm-up included.
    pub(crate) stored: u64,
    /// Jobs with an unknown outcome, warm-up included.
    pub(crate) unknown: u64,
    /// Jobs that were not stored, warm-up included.
    pub(crate) not_stored: u64,
    /// The first few errors.
    pub(crate) errors: Vec<String>,
    /// True where the time ran out before the ordered number of jobs was posted.
    pub(crate) cut_short: bool,
    /// In an open loop: the delay of requests that the generator itself caused, 99th percentile,
    /// in microseconds.
    pub(crate) generator_late_p99_us: Option<u64>,
}
