//! The registry of all metrics, and the recorder behind `GET /metrics`. A new metric is one entry
//! here; `docs/metrics.md` is made from the entries.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// What kind of figure a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A figure that only grows.
    Counter,
    /// A figure that goes up and down; read when the metrics are asked for.
    Gauge,
    /// Times in seconds, counted by size.
    Seconds,
    /// Numbers, counted by size.
    Numbers,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The labels with all their values, for people; nothing that a user writes becomes a label.
    pub labels: &'static str,
    /// What the metric says.
    pub meaning: &'static str,
}

/// Makes of each entry a constant with the metric's name, and of all entries the registry. The doc
/// comment is the metric's meaning.
macro_rules! metrics {
    ($(
        $(#[doc = $meaning:literal])+
        $constant:ident = $name:literal, $kind:ident $(, $labels:literal)?;
    )*) => {
        $(
            $(#[doc = $meaning])+
            pub const $constant: &str = $name;
        )*
        /// All metrics, in the order in which they are documented.
        pub static METRICS: &[Metric] = &[$(
            Metric {
                name: $name,
                kind: MetricKind::$kind,
                labels: concat!("" $(, $labels)?),
                meaning: concat!($($meaning),+).trim_ascii(),
            }
        ),*];
    };
}

metrics! {
    /// Jobs by what became of them; unknown too where the client left before the answer.
    JOBS = "work_factory_jobs_total", Counter, "outcome: accepted, refused, unknown, not_sent";

    /// Where the time of each push to the work server went: waiting for a connection, one round
    /// trip, and the rest.
    ENQUEUE = "work_factory_enqueue_seconds", Seconds, "phase: waiting, on_the_way, in_server";

    /// Jobs that left together in one command: the coalescing factor.
    COMMAND_JOBS = "work_factory_command_jobs", Numbers;

    /// Bytes of the commands that push jobs.
    COMMAND_BYTES = "work_factory_command_bytes_total", Counter;

    /// Bytes of args that were compressed (`COMPRESS_MIN_BYTES`).
    COMPRESSED_BYTES = "work_factory_compressed_args_bytes_total", Counter, "size: before, after";

    /// Connections to the API that were closed before their clients had shown a key, to make room
    /// for new ones; and those that were refused, because every place belonged to a known client.
    TURNED_AWAY = "work_factory_http_connections_turned_away_total", Counter,
        "reason: made_room, too_many";

    /// From a request's head to its answer's head.
    REQUEST = "work_factory_http_request_seconds", Seconds,
        "path: the route; status: 2xx, 4xx, 5xx, other";

    /// Requests that were denied for want of a good key.
    DENIED = "work_factory_http_denied_total", Counter,
        "reason: key_missing, key_unknown, scope_missing";

    /// From a command to its answer.
    ROUND_TRIP = "work_factory_round_trip_seconds", Gauge, "of: smoothed, shortest";

    /// Jobs that wait to leave.
    WAITING = "work_factory_jobs_waiting", Gauge;

    /// Jobs sent and not yet answered.
    IN_FLIGHT = "work_factory_jobs_in_flight", Gauge;

    /// Jobs that may be in flight at the most, by the measured rate and round trip.
    IN_FLIGHT_MAX = "work_factory_jobs_in_flight_max", Gauge;

    /// Connections to the work server.
    CONNECTIONS = "work_factory_connections", Gauge, "state: idle, writing";

    /// Connections to the work server at the most.
    CONNECTIONS_MAX = "work_factory_connections_max", Gauge;

    /// Connections that are writing, as a share of the most that there may be.
    UTILIZATION = "work_factory_pool_utilization", Gauge;

    /// Connections made: those beyond the size of the pool are reconnects.
    CONNECTED = "work_factory_connected_total", Counter;

    /// 1 for the state that the circuit is in.
    BREAKER = "work_factory_breaker_state", Gauge, "state: closed, open, half_open";

    /// How often the circuit has opened.
    BREAKER_OPENED = "work_factory_breaker_opened_total", Counter;

    /// Seconds for which the work server remembers the ids of jobs, so that a job that is posted
    /// again is not stored again; 0 where it remembers none, as Faktory, and before the first
    /// connection.
    DEDUP_WINDOW = "work_factory_dedup_window_seconds", Gauge;

    /// Clients of the embedded broker that did not know the password.
    BROKER_WRONG_PASSWORDS = "work_factory_broker_wrong_passwords_total", Counter;

    /// Connections to the embedded broker that were closed before their HELLO was accepted, to make
    /// room for new ones; and those that were refused, because every place belonged to a known
    /// client.
    BROKER_TURNED_AWAY = "work_factory_broker_connections_turned_away_total", Counter,
        "reason: made_room, too_many";

    /// Commands that the embedded broker refused for want of memory: that for commands which have
    /// not arrived as a whole (`BROKER_MAX_INPUT_BYTES`; the connection was ended), or that for
    /// commands which have arrived and are not answered.
    BROKER_COMMANDS_REFUSED = "work_factory_broker_commands_refused_total", Counter,
        "memory: arriving, unanswered";

    /// Pushes that the embedded broker refused, because less than `BROKER_MIN_FREE` was free on the
    /// disk of its store.
    BROKER_PUSHES_REFUSED = "work_factory_broker_pushes_refused_total", Counter;

    /// Bytes that are free on the disk of the embedded broker's store. Below `BROKER_MIN_FREE` it
    /// takes no jobs.
    BROKER_DISK_FREE = "work_factory_broker_disk_free_bytes", Gauge;

    /// Blocks of the embedded broker's store that are not what was written, met since the start.
    /// The jobs in them are missing.
    BROKER_BAD_BLOCKS = "work_factory_broker_bad_blocks", Gauge;

    /// Files of the embedded broker's store that have such a block or can't be read. They are not
    /// merged any more, and keep the room that they take.
    BROKER_FILES_SET_ASIDE = "work_factory_broker_files_set_aside", Gauge;

    /// Ids of jobs, and keys of requests, that the embedded broker remembers, about.
    BROKER_REMEMBERED_IDS = "work_factory_broker_remembered_ids", Gauge;

    /// Seconds for which the embedded broker surely remembers the ids of jobs:
    /// `BROKER_DEDUP_WINDOW`, or less where old ones were forgotten for want of room
    /// (`BROKER_DEDUP_MAX_BYTES`).
    BROKER_DEDUP_WINDOW = "work_factory_broker_dedup_window_seconds", Gauge;

    /// Jobs that were pushed again and not stored again, because the embedded broker remembered
    /// their ids.
    BROKER_DUPLICATES = "work_factory_broker_duplicates_total", Counter;

    /// Jobs that a worker has fetched.
    WORKER_FETCHED = "work_factory_worker_fetched_total", Counter;

    /// Runs by how they ended.
    WORKER_RUNS = "work_factory_worker_runs_total", Counter,
        "job_type: those that have handlers, other; outcome: done, failed, failed_for_good, later";

    /// How long handlers took.
    WORKER_RUN = "work_factory_worker_run_seconds", Seconds,
        "job_type: those that have handlers, other";

    /// From the end of a run to the work server's answer to its ACK or FAIL.
    WORKER_ACK_LAG = "work_factory_worker_ack_lag_seconds", Seconds;

    /// Jobs at a worker; at risk are the FETCHes in flight, whose jobs a cut of the link can leave
    /// reserved for nobody.
    WORKER_JOBS = "work_factory_worker_jobs", Gauge,
        "state: running, buffered, at_risk, unacknowledged";

    /// Bytes of jobs at a worker (`WORKER_MAX_BUFFER_BYTES`): of those above 64 KiB that are read
    /// or wait for a slot, of all that wait, and of those that run with what their args unpack to.
    WORKER_BYTES = "work_factory_worker_bytes", Gauge, "state: replies, waiting, running";

    /// FETCHes that were in flight on connections that were lost; a job that such a FETCH took runs
    /// when its reservation is over.
    WORKER_STRANDED = "work_factory_worker_fetches_lost_total", Counter;

    /// Jobs that were fetched, not run, and pushed again.
    WORKER_GIVEN_BACK = "work_factory_worker_given_back_total", Counter;

    /// 1 for the state that a worker is in: quiet, it fetches no more and finishes what it has.
    WORKER_STATE = "work_factory_worker_state", Gauge, "state: running, quiet, ending";

    /// Connections for fetches.
    WORKER_LANES = "work_factory_worker_lanes", Gauge;

    /// Share of a worker's slots that are free.
    WORKER_IDLE = "work_factory_worker_idle", Gauge;
}

/// The bounds of histograms of times, in seconds.
const SECONDS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// The bounds of histograms of numbers.
const NUMBERS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts recording in this process, once; the handle makes the text for Prometheus. `None` where
/// the program around us has a recorder of its own, which then gets the figures.
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

/// How often the recorded samples are put into histograms; between scrapes they would only grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Keeps the recorded samples small, for ever.
pub async fn upkeep() {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        if let Some(handle) = record_metrics() {
            handle.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_named_once_and_its_kind_is_in_its_name() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(METRICS.iter().skip(index + 1).all(|other| other.name != metric.name));
            assert!(metric.name.starts_with("work_factory_") && metric.meaning.ends_with('.'));
            let is_total = metric.name.ends_with("_total");
            assert_eq!(is_total, metric.kind == MetricKind::Counter, "{}", metric.name);
        }
    }
}
