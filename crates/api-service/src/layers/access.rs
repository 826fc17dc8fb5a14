//! The layer of the routes that need a key with a scope.

use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service_runtime::Scope;

use crate::state::SharedState;

/// Refuses requests without a key of this scope, and tells how to present one.
pub(crate) async fn layer(
    Extract((state, scope)): Extract<(SharedState, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    let Err(denied) = state.keyring.check(request.headers(), scope) else {
        return next.run(request).await;
    };
    tracing::debug!(?denied, path = request.uri().path(), "a request was denied");
    let mut response = denied.problem().into_response();
    if let Ok(challenge) = HeaderValue::from_str(&denied.challenge()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
