//! The worker's own figures.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::{Counter, Histogram, counter, gauge, histogram};
use service_runtime::metrics as names;

use crate::outcome::Ending;
use crate::shared::Shared;

/// Counters that are looked up once.
pub(crate) struct Metrics {
    pub(crate) fetched: Counter,
    pub(crate) ack_lag: Histogram,
    pub(crate) stranded: Counter,
    pub(crate) given_back: Counter,
    /// Of jobs that are not of a registered type: what others write becomes no label.
    pub(crate) other: TypeMetrics,
}

/// Those of one job type.
pub(crate) struct TypeMetrics {
    pub(crate) took: Histogram,
    done: Counter,
    failed: Counter,
    failed_for_good: Counter,
    later: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            fetched: counter!(names::WORKER_FETCHED),
            ack_lag: histogram!(names::WORKER_ACK_LAG),
            stranded: counter!(names::WORKER_STRANDED),
            given_back: counter!(names::WORKER_GIVEN_BACK),
            other: TypeMetrics::new("other"),
        }
    }
}

impl TypeMetrics {
    pub(crate) fn new(job_type: &str) -> Self {
        let runs = |outcome: &'static str| counter!(names::WORKER_RUNS, "job_type" => job_type.to_owned(), "outcome" => outcome);
        Self {
            took: histogram!(names::WORKER_RUN, "job_type" => job_type.to_owned()),
            done: runs("done"),
            failed: runs("failed"),
            failed_for_good: runs("failed_for_good"),
            later: runs("later"),
        }
    }

    pub(crate) fn ended(&self, ending: &Ending) {
        let counter = match ending {
            Ending::Done => &self.done,
            Ending::Failed(_) => &self.failed,
            Ending::FailedForGood(_) => &self.failed_for_good,
            Ending::Later(..) => &self.later,
        };
        counter.increment(1);
    }
}

/// `GET /metrics`: all figures, as Prometheus reads them.
pub(crate) fn scrape(shared: &Shared) -> Response {
    let Some(handle) = names::record_metrics() else {
        return (
            StatusCode::NOT_FOUND,
            "the program that this worker runs in records the metrics itself\n",
        )
            .into_response();
    };
    let standing = shared.standing();
    for (state, jobs) in [
        ("running", standing.running),
        ("buffered", standing.buffered),
        ("at_risk", standing.fetches),
        ("unacknowledged", shared.unreported.all()),
    ] {
        gauge!(names::WORKER_JOBS, "state" => state).set(jobs as f64);
    }
    gauge!(names::WORKER_LANES).set(standing.lanes as f64);
    let places = shared.config.concurrency.max(1) as f64;
    gauge!(names::WORKER_IDLE).set(1.0 - standing.running as f64 / places);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        .into_response()
}
