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
    let checked = state.liveness.check().await;
    let circuit = state.pusher.status().breaker;
    let not_ready = |problem: Problem| problem.with("circuit", circuit.name()).quiet();
    checked.map_err(not_ready)?;
    if circuit != BreakerState::Closed {
        let detail = "the work server has failed several times in a row; it is tried again soon";
        return Err(not_ready(Problem::new(Code::CircuitOpen, detail)));
    }
    Ok(Json(json!({ "status": "ready", "circuit": circuit.name() })).into_response())
}
