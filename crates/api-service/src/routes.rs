//! Every path, and the order of the layers.

#[cfg(test)]
mod tests;

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use hyper::body::Incoming;
use service_runtime::Scope;
use tower::{Service, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::handlers::{batch, fallback, health, metrics, single, stream};
use crate::layers::{self, drain, host, origin, panic, request_id};
use crate::state::SharedState;
use crate::unread;

/// The size in bytes from which an answer is compressed, where the client accepts that.
const COMPRESS_FROM: u64 = 1024;

fn compression() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_FROM))
}

/// The API.
pub(crate) fn api(state: &SharedState) -> impl HttpService {
    with_layers(routes(state), state)
}

fn routes(state: &SharedState) -> Router<SharedState> {
    let for_scope = |scope, route: MethodRouter<SharedState>| {
        let state = SharedState::clone(state);
        route.route_layer(from_fn_with_state((state, scope), layers::access::layer))
    };
    Router::new()
        .route("/jobs", for_scope(Scope::Post, post(single::job)))
        .route("/jobs/batch", for_scope(Scope::Post, post(batch::batch).layer(compression())))
        .route("/jobs/stream", for_scope(Scope::Post, post(stream::stream)))
        .route("/jobs/{operation}", for_scope(Scope::Post, post(single::operation)))
        .route("/metrics", for_scope(Scope::Read, get(metrics::metrics).layer(compression())))
        .layer(from_fn_with_state(SharedState::clone(state), origin::layer))
        // Outside of the layer above and without a key: orchestrators ask under names of their own,
        // and the answers tell nothing about jobs.
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
}

/// Adds the layers around all routes.
fn with_layers(routes: Router<SharedState>, state: &SharedState) -> impl HttpService {
    let routes = routes
        // The first is the outermost: the answer to a panic has a request id, is measured, and
        // comes after the rest of the body.
        .layer((
            from_fn(request_id::layer),
            from_fn_with_state(SharedState::clone(state), layers::metrics::layer),
            drain::layer(SharedState::clone(state)),
            CatchPanicLayer::custom(panic::answer),
            from_fn(host::layer),
        ))
        .with_state(SharedState::clone(state));
    with_tracked_bodies(routes)
}

/// The answer to every request that comes as plain HTTP to a port that speaks HTTPS.
pub(crate) fn without_tls(state: SharedState) -> impl HttpService {
    one_answer(Router::new().fallback(fallback::tls_needed), state)
}

/// The answer to every request on a connection for which there is no place.
pub(crate) fn without_place(state: SharedState) -> impl HttpService {
    one_answer(Router::new().fallback(fallback::too_many_connections), state)
}

fn one_answer(routes: Router, state: SharedState) -> impl HttpService {
    with_tracked_bodies(routes.layer((from_fn(request_id::layer), drain::layer(state))))
}

/// Makes the unread rest of each body reach the drain layer.
fn with_tracked_bodies(routes: Router) -> impl HttpService {
    ServiceExt::<Request<unread::TrackedBody>>::map_request(routes, unread::track)
}

/// What a connection serves.
pub(crate) trait HttpService:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> HttpService for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}
