//! Every path, and the order of the layers.

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use service_runtime::Scope;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::problem::{Code, Problem};
use crate::state::SharedState;
use crate::{access, body, health, jobs, metrics, request_id, stream};

/// Answers from so many bytes on are compressed, where the client asks for it and they can be long.
const COMPRESS_FROM: u64 = 1024;

fn compression() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_FROM))
}

pub(crate) fn router(state: SharedState) -> Router {
    let for_scope = |scope, route: MethodRouter<SharedState>| {
        route.route_layer(from_fn_with_state((state.clone(), scope), access::layer))
    };
    Router::new()
        .route("/jobs", for_scope(Scope::Post, post(jobs::one)))
        .route("/jobs/batch", for_scope(Scope::Post, post(jobs::batch).layer(compression())))
        .route("/jobs/stream", for_scope(Scope::Post, post(stream::stream)))
        .route("/jobs/{operation}", for_scope(Scope::Post, post(jobs::operation)))
        .route("/metrics", for_scope(Scope::Read, get(metrics::scrape).layer(compression())))
        .layer(from_fn_with_state(SharedState::clone(&state), access::origin_layer))
        // Below that layer's reach, and without a key: orchestrators ask, by names of their own,
        // and the answers say nothing of jobs.
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(SharedState::clone(&state), metrics::layer))
        // The last one is the outermost: a panic's answer has a request id too.
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(request_id::layer))
        .with_state(state)
}

/// What a client meets that comes without TLS where TLS is spoken.
pub(crate) fn without_tls() -> Router {
    Router::new().fallback(tls_needed).layer(from_fn(request_id::layer))
}

async fn tls_needed(request: Request) -> Problem {
    let problem = Problem::new(
        Code::TlsNeeded,
        "this port speaks HTTPS: its URL begins with https://, not http://",
    );
    body::refuse(request, problem).await.closing()
}

async fn not_found(request: Request) -> Problem {
    let known = "known paths: POST /jobs, POST /jobs/{operation}, POST /jobs/batch, POST \
                 /jobs/stream, GET /health, GET /ready, GET /metrics";
    body::refuse(request, Problem::new(Code::NotFound, known)).await
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!(
            "{method} is not accepted here, see the header Allow; jobs are posted (POST /jobs, \
             /jobs/{{operation}}, /jobs/batch, /jobs/stream)"
        ),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), request_id = %request_id::current(), "a handler panicked");
    Problem::new(Code::InternalError, "a defect of this service; report it with the request_id")
        .into_response()
}
