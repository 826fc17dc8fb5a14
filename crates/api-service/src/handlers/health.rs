//! `GET /health` and `GET /ready`.

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use faktory_link::BreakerState;
use serde_json::json;

use crate::problem::{Code, Problem};
use crate::state::SharedState;

/// `GET /health`: the process lives.
pub(crate) async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /ready`: jobs would be stored.
pub(crate) async fn ready(Extract(state): Extract<SharedState>) -> Result<Response, Problem> {
    state.lifecycle.check_serving()?;
    // Probes are rare while the circuit is open, and so is not known what it opened for: then no
    // probe is awaited.
    let circuit = state.pusher.status().breaker;
    if circuit != BreakerState::Closed && state.liveness.awaits_probe() {
        return Err(circuit_open(circuit));
    }
    let checked = state.liveness.check().await;
    let circuit = state.pusher.status().breaker;
    checked.map_err(|problem| not_ready(problem, circuit))?;
    if circuit != BreakerState::Closed {
        return Err(circuit_open(circuit));
    }
    Ok(Json(json!({ "status": "ready", "circuit": circuit.name() })).into_response())
}

fn circuit_open(circuit: BreakerState) -> Problem {
    let detail = "the work server has failed several times in a row; it is tried again soon";
    not_ready(Problem::new(Code::CircuitOpen, detail), circuit)
}

fn not_ready(problem: Problem, circuit: BreakerState) -> Problem {
    problem.with("circuit", circuit.name()).quiet()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use faktory_link::{EncodedJob, LinkConfig, LinkPool, Pusher};
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;
    use crate::config::ApiConfig;
    use crate::figures::Figures;
    use crate::state::State;

    #[tokio::test(start_paused = true)]
    async fn an_open_circuit_is_told_at_once_where_no_probe_has_failed_yet() {
        let mut link = LinkConfig::new("127.0.0.1", 1);
        (link.breaker_failures, link.breaker_open_for) = (1, Duration::from_secs(3000));
        let pusher = Pusher::new(LinkPool::new(link.clone()).unwrap());
        let address = ([127, 0, 0, 1], 3000).into();
        let state = State::new(ApiConfig::new(link), address, pusher, Arc::new(Figures::new()));
        let state = Arc::new(state);
        state.liveness.note_probe(Ok(()));
        let job = EncodedJob::new("job", "{}");
        state.pusher.push(vec![job], Instant::now() + Duration::from_secs(10)).await;
        tokio::time::advance(Duration::from_secs(70)).await;
        let told = ready(Extract(state)).now_or_never().expect("told at once").err().unwrap();
        assert_eq!(told.code().as_str(), "circuit_open");
    }
}
