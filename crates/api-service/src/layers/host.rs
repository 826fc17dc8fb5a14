//! The layer that refuses requests which do not name one host (RFC 9112, section 3.2).

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::host;

/// Refuses a request without `Host`, with two, or with one that is no host.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    match host::of(&request) {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
