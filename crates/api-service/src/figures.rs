//! The metrics that the API records: counters and histograms that are looked up once, and the
//! gauges of the link. Their names are in `service-runtime`; `handlers/metrics.rs` serves them.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::StatusCode;
use faktory_link::{BreakerState, CommandTimes, JobOutcome, LinkStatus, Observer};
use job_types::Saving;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use service_runtime::metrics as names;

use crate::access::keyring::Denied;

/// Counters and histograms, looked up once.
pub(crate) struct Figures {
    accepted: Counter,
    refused: Counter,
    unknown: Counter,
    not_sent: Counter,
    waiting: Histogram,
    on_the_way: Histogram,
    in_server: Histogram,
    command_jobs: Histogram,
    command_bytes: Counter,
    bytes_before: Counter,
    bytes_after: Counter,
    key_missing: Counter,
    key_unknown: Counter,
    scope_missing: Counter,
    made_room: Counter,
    too_many: Counter,
    /// By route and status, each made at its first request.
    requests: Vec<OnceLock<Histogram>>,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

impl Figures {
    pub(crate) fn new() -> Self {
        // Where the program has a recorder of its own, that one records.
        let _ = names::record_metrics();
        let jobs = |outcome| counter!(names::JOBS, "outcome" => outcome);
        let denied = |reason| counter!(names::DENIED, "reason" => reason);
        let turned_away = |reason| counter!(names::TURNED_AWAY, "reason" => reason);
        let phase = |phase| histogram!(names::ENQUEUE, "phase" => phase);
        Self {
            accepted: jobs("accepted"),
            refused: jobs("refused"),
            unknown: jobs("unknown"),
            not_sent: jobs("not_sent"),
            waiting: phase("waiting"),
            on_the_way: phase("on_the_way"),
            in_server: phase("in_server"),
            command_jobs: histogram!(names::COMMAND_JOBS),
            command_bytes: counter!(names::COMMAND_BYTES),
            bytes_before: counter!(names::COMPRESSED_BYTES, "size" => "before"),
            bytes_after: counter!(names::COMPRESSED_BYTES, "size" => "after"),
            key_missing: denied("key_missing"),
            key_unknown: denied("key_unknown"),
            scope_missing: denied("scope_missing"),
            made_room: turned_away("made_room"),
            too_many: turned_away("too_many"),
            requests: (0..ROUTES.len() * STATUSES.len()).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Counts a request that was denied.
    pub(crate) fn denied(&self, denied: &Denied) {
        match denied {
            Denied::NoKey => &self.key_missing,
            Denied::UnknownKey => &self.key_unknown,
            Denied::ScopeMissing(..) => &self.scope_missing,
        }
        .increment(1);
    }

    /// Counts the bytes of args before and after their compression.
    pub(crate) fn compressed(&self, saved: Saving) {
        if saved.before > 0 {
            self.bytes_before.increment(saved.before as u64);
            self.bytes_after.increment(saved.after as u64);
        }
    }

    /// Counts a connection that was closed to make room for another one.
    pub(crate) fn made_room(&self) {
        self.made_room.increment(1);
    }

    /// Counts a connection that was refused.
    pub(crate) fn too_many(&self) {
        self.too_many.increment(1);
    }

    /// Counts jobs whose client has left before their outcomes were known.
    pub(crate) fn unheard(&self, unknown: usize, not_sent: usize) {
        self.unknown.increment(unknown as u64);
        self.not_sent.increment(not_sent as u64);
    }

    /// Counts jobs by their outcomes.
    pub(crate) fn outcomes(&self, outcomes: &[JobOutcome]) {
        let (mut accepted, mut refused, mut unknown, mut not_sent) = (0, 0, 0, 0);
        for outcome in outcomes {
            match outcome {
                JobOutcome::Stored => accepted += 1,
                JobOutcome::Rejected(_) | JobOutcome::ServerRefuses(_) => refused += 1,
                JobOutcome::Unknown(_) => unknown += 1,
                JobOutcome::NotSent(..) => not_sent += 1,
            }
        }
        for (counter, count) in [
            (&self.accepted, accepted),
            (&self.refused, refused),
            (&self.unknown, unknown),
            (&self.not_sent, not_sent),
        ] {
            if count > 0 {
                counter.increment(count);
            }
        }
    }

    /// Records the time that a request took, under the route that served it, if any.
    pub(crate) fn request_answered(&self, route: Option<&str>, status: StatusCode, time: Duration) {
        let route = route
            .and_then(|path| ROUTES.iter().position(|route| *route == path))
            .unwrap_or(ROUTES.len() - 1);
        let status = match status.as_u16() / 100 {
            2 => 0,
            4 => 1,
            5 => 2,
            _ => 3,
        };
        if let Some(histogram) = self.requests.get(route * STATUSES.len() + status) {
            histogram.get_or_init(|| request_histogram(route, status)).record(time);
        }
    }
}

impl Observer for Figures {
    fn command_answered(&self, times: &CommandTimes) {
        self.waiting.record(times.waited);
        self.on_the_way.record(times.on_the_way);
        self.in_server.record(times.in_server);
        self.command_jobs.record(times.jobs as f64);
        self.command_bytes.increment(times.bytes as u64);
    }
}

/// The routes under which requests are counted. Text that users write into a path is no label.
const ROUTES: [&str; 8] = [
    "/jobs",
    "/jobs/batch",
    "/jobs/stream",
    "/jobs/{operation}",
    "/health",
    "/ready",
    "/metrics",
    "none",
];
const STATUSES: [&str; 4] = ["2xx", "4xx", "5xx", "other"];

fn request_histogram(route: usize, status: usize) -> Histogram {
    let (path, status) = (
        ROUTES.get(route).copied().unwrap_or("none"),
        STATUSES.get(status).copied().unwrap_or("other"),
    );
    histogram!(names::REQUEST, "path" => path, "status" => status)
}

/// Sets the gauges that describe the link to the work server.
pub(crate) fn record_link(status: &LinkStatus) {
    let seconds = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64());
    gauge!(names::ROUND_TRIP, "of" => "smoothed").set(seconds(status.round_trip));
    gauge!(names::ROUND_TRIP, "of" => "shortest").set(seconds(status.round_trip_min));
    gauge!(names::WAITING).set(status.waiting as f64);
    gauge!(names::IN_FLIGHT).set(status.in_flight as f64);
    gauge!(names::IN_FLIGHT_MAX).set(status.allowed as f64);
    let writing = status.connections.saturating_sub(status.idle);
    gauge!(names::CONNECTIONS, "state" => "idle").set(status.idle as f64);
    gauge!(names::CONNECTIONS, "state" => "writing").set(writing as f64);
    gauge!(names::CONNECTIONS_MAX).set(status.connections_max as f64);
    gauge!(names::UTILIZATION).set(writing as f64 / status.connections_max.max(1) as f64);
    counter!(names::CONNECTED).absolute(status.connected);
    gauge!(names::DEDUP_WINDOW).set(status.once.unwrap_or_default());
    for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
        gauge!(names::BREAKER, "state" => state.name())
            .set(f64::from(u8::from(state == status.breaker)));
    }
    counter!(names::BREAKER_OPENED).absolute(status.breaker_opened);
}
