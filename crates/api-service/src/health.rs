//! Whether the process lives, and whether the work server has answered lately.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use faktory_link::{BreakerState, JobOutcome, LinkPool};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::problem::{Code, Problem};
use crate::state::{Ending, SharedState, State, shutting_down};

/// How often the work server is asked.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// How often while it does not answer, so that its return is noticed soon.
const PROBE_AGAIN: Duration = Duration::from_millis(500);
/// For how long an answer counts.
const GOOD_FOR: Duration = Duration::from_secs(15);
/// Connections opened before the first request needs them, and kept: a large batch spreads over
/// them.
const WARM: usize = 16;

/// What is known of the work server.
#[derive(Debug, Default)]
pub(crate) struct Health {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    last_success: Option<Instant>,
    failure: Option<String>,
    /// What the work server said when it refused the latest push, and when.
    refusing: Option<(String, Instant)>,
}

impl Health {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from a push: a server that takes probes may refuse jobs all the same.
    pub(crate) fn note_push(&self, outcomes: &[JobOutcome]) {
        let answers = |outcome: &JobOutcome| {
            matches!(
                outcome,
                JobOutcome::Stored | JobOutcome::Rejected(_) | JobOutcome::ServerRefuses(_)
            )
        };
        if outcomes.iter().any(answers) {
            self.seen().last_success = Some(Instant::now());
        }
        let latest = outcomes.iter().rev().find_map(|outcome| match outcome {
            JobOutcome::Stored => Some(None),
            JobOutcome::ServerRefuses(detail) => Some(Some(detail.clone())),
            JobOutcome::Rejected(_) | JobOutcome::Unknown(_) | JobOutcome::NotSent(..) => None,
        });
        if let Some(latest) = latest {
            self.seen().refusing = latest.map(|detail| (detail, Instant::now()));
        }
    }

    /// Why the service is not ready.
    fn not_ready(&self) -> Option<Problem> {
        let seen = self.seen();
        // It counts as long as a success does: whoever sends no jobs to a service that is not ready
        // would else never learn that the work server takes them again.
        if let Some((detail, at)) = &seen.refusing
            && at.elapsed() < GOOD_FOR
        {
            return Some(Problem::new(
                Code::WorkServerRefusing,
                format!("the latest push was refused: {detail}"),
            ));
        }
        if seen.last_success.is_some_and(|at| at.elapsed() < GOOD_FOR) {
            return None;
        }
        let why = seen.failure.clone().unwrap_or_else(|| "it has not answered yet".into());
        Some(Problem::new(
            Code::WorkServerUnreachable,
            format!("the work server does not answer: {why}"),
        ))
    }
}

/// Asks the work server for ever whether it is there, and tries it again while the circuit is open.
pub(crate) async fn probe(state: SharedState, pool: LinkPool) {
    let mut was_reachable = None;
    let warm = WARM.min(pool.max_size());
    let mut warming = JoinSet::new();
    let warm_up = |warming: &mut JoinSet<usize>, connections| {
        let pool = pool.clone();
        warming.spawn(async move { pool.warm_up(connections).await });
    };
    // The first question makes one itself.
    warm_up(&mut warming, warm - 1);
    loop {
        let Some(result) = pool.probe().await else {
            tokio::time::sleep(PROBE_AGAIN.min(state.config.link.breaker_open_for)).await;
            continue;
        };
        let reachable = result.is_ok();
        if was_reachable != Some(reachable) {
            match &result {
                Ok(()) => tracing::info!("the work server answers"),
                Err(why) => {
                    tracing::warn!(work_server = %where_it_is(&state), %why, "no work server (FAKTORY_URL says where it is)")
                }
            }
        }
        {
            let mut seen = state.health.seen();
            match result {
                Ok(()) => (seen.last_success, seen.failure) = (Some(Instant::now()), None),
                Err(why) => seen.failure = Some(why),
            }
        }
        // Connections that have ended meanwhile are made anew before somebody needs them.
        while warming.try_join_next().is_some() {}
        if reachable && warming.is_empty() && pool.size() < warm {
            warm_up(&mut warming, warm);
        }
        was_reachable = Some(reachable);
        if reachable {
            tokio::select! {
                () = tokio::time::sleep(PROBE_EVERY) => {}
                () = pool.until_circuit_opens() => {}
            }
        } else {
            tokio::time::sleep(PROBE_AGAIN).await;
        }
    }
}

fn where_it_is(state: &State) -> String {
    format!("{}:{}", state.config.link.host, state.config.link.port)
}

/// `GET /health`: the process lives.
pub(crate) async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /ready`: jobs would be taken.
pub(crate) async fn ready(Extract(state): Extract<SharedState>) -> Response {
    answer_ready(&state)
}

fn answer_ready(state: &State) -> Response {
    if *state.ending.borrow() != Ending::No {
        return shutting_down().into_response();
    }
    let circuit = state.pusher.status().breaker;
    match state.health.not_ready() {
        None if circuit == BreakerState::Closed => {
            Json(json!({ "status": "ready", "circuit": circuit.name() })).into_response()
        }
        None => {
            let detail =
                "the work server has failed several times in a row; it is tried again soon";
            Problem::new(Code::CircuitOpen, detail)
                .with("circuit", circuit.name())
                .quiet()
                .into_response()
        }
        Some(problem) => problem.with("circuit", circuit.name()).quiet().into_response(),
    }
}
