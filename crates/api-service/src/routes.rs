//! Every path, and the order of the layers.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::problem::{Code, Problem};
use crate::state::SharedState;
use crate::{body, health, jobs, request_id};

pub(crate) fn router(state: SharedState) -> Router {
    Router::new()
        .route("/jobs", post(jobs::one))
        .route("/jobs/batch", post(jobs::batch))
        .route("/jobs/{operation}", post(jobs::operation))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // The last one is the outermost: a panic's answer has a request id too.
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(request_id::layer))
        .with_state(state)
}

async fn not_found(request: Request) -> Problem {
    let known = "known paths: POST /jobs, POST /jobs/{operation}, POST /jobs/batch, GET /health, GET /ready";
    body::refuse(request, Problem::new(Code::NotFound, known)).await
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("{method} is not accepted here, see the header Allow; jobs are posted (POST /jobs, /jobs/{{operation}}, /jobs/batch)"),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), request_id = %request_id::current(), "a handler panicked");
    Problem::new(Code::InternalError, "a defect of this service; report it with the request_id").into_response()
}
