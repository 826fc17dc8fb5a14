//! The layer that keeps web pages of other origins out, where the API has no keys.

use axum::extract::{Request, State as Extract};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::state::SharedState;

/// Refuses requests to a foreign host name, from a page of another origin, and through an unknown
/// proxy.
pub(crate) async fn layer(
    Extract(state): Extract<SharedState>,
    request: Request,
    next: Next,
) -> Response {
    match state.origins.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
