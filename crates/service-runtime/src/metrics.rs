//! The registry of all metrics, and the recorder behind `GET /metrics`: a new metric is one entry
//! here and one row in the README.

use std::fmt::Write;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// What kind of figure a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down; read when it is asked for.
    Gauge,
    /// Times in seconds, counted by size.
    Seconds,
    /// Numbers, counted by size.
    Numbers,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its labels with all their values, for people; nothing that a user writes becomes a label.
    pub labels: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, $labels:literal, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $constant: &str = $name;
        )*
        /// All metrics, in the order in which they are documented.
        pub static METRICS: &[Metric] =
            &[$(Metric { name: $name, kind: MetricKind::$kind, labels: $labels, meaning: $meaning }),*];
    };
}

metrics! {
    JOBS = "work_factory_jobs_total", Counter, "outcome: accepted, refused, unknown, not_sent", "jobs by what became of them; unknown too where the client left before it heard";
    ENQUEUE = "work_factory_enqueue_seconds", Seconds, "phase: waiting, on_the_way, in_server", "where the time of each push to the work server went: waiting for a connection, one round trip, and the rest";
    COMMAND_JOBS = "work_factory_command_jobs", Numbers, "", "jobs that left together in one command: the coalescing factor";
    COMMAND_BYTES = "work_factory_command_bytes_total", Counter, "", "bytes of these commands";
    COMPRESSED_BYTES = "work_factory_compressed_args_bytes_total", Counter, "size: before, after", "bytes of args that were compressed (COMPRESS_MIN_BYTES)";
    REQUEST = "work_factory_http_request_seconds", Seconds, "path: the route; status: 2xx, 4xx, 5xx, other", "from a request's head to its answer's head";
    ROUND_TRIP = "work_factory_round_trip_seconds", Gauge, "of: smoothed, shortest", "from a command to its answer";
    WAITING = "work_factory_jobs_waiting", Gauge, "", "jobs that wait to leave";
    IN_FLIGHT = "work_factory_jobs_in_flight", Gauge, "", "jobs sent and not yet answered";
    IN_FLIGHT_MAX = "work_factory_jobs_in_flight_max", Gauge, "", "jobs that may be in flight, as round trip and rate have it";
    CONNECTIONS = "work_factory_connections", Gauge, "state: idle, writing", "connections to the work server";
    CONNECTIONS_MAX = "work_factory_connections_max", Gauge, "", "connections that there may be";
    UTILIZATION = "work_factory_pool_utilization", Gauge, "", "share of the connections that there may be which are writing";
    CONNECTED = "work_factory_connected_total", Counter, "", "connections made: what is more than the pool holds are reconnects";
    BREAKER = "work_factory_breaker_state", Gauge, "state: closed, open, half_open", "1 for the state that the circuit is in";
    BREAKER_OPENED = "work_factory_breaker_opened_total", Counter, "", "how often the circuit has opened";
    WORKER_FETCHED = "work_factory_worker_fetched_total", Counter, "", "jobs that a worker has fetched";
    WORKER_RUNS = "work_factory_worker_runs_total", Counter, "job_type: those that have handlers, other; outcome: done, failed, failed_for_good, later", "runs by how they ended";
    WORKER_RUN = "work_factory_worker_run_seconds", Seconds, "job_type: those that have handlers, other", "how long handlers took";
    WORKER_ACK_LAG = "work_factory_worker_ack_lag_seconds", Seconds, "", "from the end of a run to the work server's word for it";
    WORKER_JOBS = "work_factory_worker_jobs", Gauge, "state: running, buffered, at_risk, unacknowledged", "jobs at a worker; at risk are FETCHes on their way, which a cut of the link can leave reserved for nobody";
    WORKER_STRANDED = "work_factory_worker_fetches_lost_total", Counter, "", "FETCHes that were on their way on connections that were lost; what they brought runs when its reservation is over";
    WORKER_GIVEN_BACK = "work_factory_worker_given_back_total", Counter, "", "jobs that were fetched, not run, and pushed again";
    WORKER_LANES = "work_factory_worker_lanes", Gauge, "", "connections for fetches";
    WORKER_IDLE = "work_factory_worker_idle", Gauge, "", "share of a worker's places that are free";
}

/// Bounds of the counts of times, in seconds.
const SECONDS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Bounds of the counts of numbers.
const NUMBERS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts recording in this process, once; the handle makes the text for Prometheus. `None` where
/// the program that this runs in has a recorder of its own: it gets the figures then.
pub fn record_metrics() -> Option<&'static PrometheusHandle> {
    let install = || {
        let mut builder = PrometheusBuilder::new();
        for metric in METRICS {
            let bounds: &[f64] = match metric.kind {
                MetricKind::Seconds => &SECONDS,
                MetricKind::Numbers => &NUMBERS,
                MetricKind::Counter | MetricKind::Gauge => continue,
            };
            builder =
                builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), bounds).ok()?;
        }
        let handle = builder.install_recorder().ok()?;
        for metric in METRICS {
            match metric.kind {
                MetricKind::Counter => describe_counter!(metric.name, metric.meaning),
                MetricKind::Gauge => describe_gauge!(metric.name, metric.meaning),
                MetricKind::Seconds => {
                    describe_histogram!(metric.name, Unit::Seconds, metric.meaning)
                }
                MetricKind::Numbers => describe_histogram!(metric.name, metric.meaning),
            }
        }
        Some(handle)
    };
    RECORDER.get_or_init(install).as_ref()
}

/// How often what has been recorded is put in order; between scrapes it would else only grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Keeps what is recorded small, for ever.
pub async fn upkeep() {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        if let Some(handle) = record_metrics() {
            handle.run_upkeep();
        }
    }
}

/// The table of metrics, as the README shows it.
#[must_use]
pub fn metrics_table() -> String {
    let mut table = String::from("| metric | kind | labels | |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, meaning } in METRICS {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Seconds | MetricKind::Numbers => "histogram",
        };
        // Writing to a string can't fail.
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {meaning} |");
    }
    table
}
