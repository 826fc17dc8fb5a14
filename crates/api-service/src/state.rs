//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use faktory_link::{JobOutcome, Pusher};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::Access;
use crate::budget::Budget;
use crate::config::ApiConfig;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::problem::{Code, Problem};
use crate::queue_names::QueueNames;
use crate::stream::Streams;

/// How far the service's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// It serves.
    No,
    /// It takes no new requests.
    Begun,
    /// The time for those in flight is over.
    TimeIsUp,
}

pub(crate) struct State {
    pub(crate) config: ApiConfig,
    pub(crate) access: Access,
    pub(crate) pusher: Pusher,
    pub(crate) health: Health,
    pub(crate) queues: QueueNames,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ending: watch::Sender<Ending>,
    /// What bodies that are being read may take in all.
    pub(crate) body_budget: Budget,
    pub(crate) streams: Streams,
}

/// Jobs of a request under way. Where the client goes before their outcomes are known, nobody hears
/// of them: then they count as unknown.
pub(crate) struct Unheard<'a> {
    metrics: &'a Metrics,
    jobs: usize,
}

impl<'a> Unheard<'a> {
    pub(crate) fn new(state: &'a State, jobs: usize) -> Self {
        Self { metrics: &state.metrics, jobs }
    }

    pub(crate) fn are_heard(mut self) {
        self.jobs = 0;
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        self.metrics.unheard(self.jobs, 0);
    }
}

/// Cheap to clone, as axum wants it.
pub(crate) type SharedState = Arc<State>;

impl State {
    /// By when a request that begins now has ended.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Instant {
        let limit = self.config.request_timeout;
        Instant::now() + preferred_wait(headers).filter(|wait| *wait <= limit).unwrap_or(limit)
    }

    /// Learns from what became of jobs.
    pub(crate) fn note(&self, outcomes: &[JobOutcome]) {
        self.health.note_push(outcomes);
        self.metrics.outcomes(outcomes);
    }

    /// Refuses a request that comes after the end has begun.
    pub(crate) fn check_serving(&self) -> Result<(), Problem> {
        if *self.ending.borrow() == Ending::No { Ok(()) } else { Err(shutting_down()) }
    }

    /// Resolves when the end has begun. Cancel safe.
    pub(crate) async fn end_begins(&self) {
        let mut ending = self.ending.subscribe();
        // The sender lives as long as this state.
        let _ = ending.wait_for(|ending| *ending != Ending::No).await;
    }

    /// Resolves when requests in flight have no time left.
    pub(crate) async fn time_is_up(&self) {
        let mut ending = self.ending.subscribe();
        // The sender lives as long as this state.
        let _ = ending.wait_for(|ending| *ending == Ending::TimeIsUp).await;
    }
}

/// The seconds of `Prefer: wait=N` (RFC 7240, section 4.3); `None` where there is none, it is
/// malformed, or 0. Other preferences may stand beside it, and the first that is there counts.
fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let wait = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    });
    let seconds: u32 = wait.map(str::parse).next()?.ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

pub(crate) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "this service is shutting down; nothing was enqueued")
        .closing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preferred_wait_is_read_as_rfc_7240_has_it() {
        for (values, expected) in [
            (&["wait=5"][..], Some(5)),
            (&["respond-async, WAIT = 10"], Some(10)),
            (&["return=minimal", "wait=7; x=1"], Some(7)),
            (&["wait=3, wait=9"], Some(3)),
            (&["wait=\"4\""], Some(4)),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait=1.5"], None),
            (&["wait"], None),
            (&["waiting=5"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("prefer", value.parse().unwrap());
            }
            assert_eq!(preferred_wait(&headers), expected.map(Duration::from_secs), "{values:?}");
        }
    }
}
