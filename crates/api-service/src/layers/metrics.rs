//! The layer that measures each request, by its route.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State as Extract};
use axum::middleware::Next;
use axum::response::Response;

use crate::state::SharedState;

/// Records the time from the head of the request to its answer.
pub(crate) async fn layer(
    Extract(state): Extract<SharedState>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    let response = next.run(request).await;
    let route = path.as_ref().map(MatchedPath::as_str);
    state.figures.request_answered(route, response.status(), begin.elapsed());
    response
}
