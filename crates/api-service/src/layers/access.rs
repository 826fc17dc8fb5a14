//! The layer of the routes that need a key with a scope.

use std::net::IpAddr;

use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use faktory_wire::Excerpt;
use service_runtime::Scope;
use tokio::time::Instant;

use crate::access::client;
use crate::access::keyring::Denied;
use crate::state::{SharedState, State};

/// Refuses requests without a key of this scope, and tells how to present one.
pub(crate) async fn layer(
    Extract((state, scope)): Extract<(SharedState, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let denied = match state.keyring.check(request.headers(), scope) {
        Ok(pass) => {
            request.extensions_mut().insert(pass);
            return next.run(request).await;
        }
        Err(denied) => denied,
    };
    let client = client::address(&request, &state.config.api.trusted_proxies);
    state.figures.denied(&denied);
    let path = Excerpt(request.uri().path());
    tracing::debug!(?denied, %client, %path, "a request was denied");
    if denied == Denied::UnknownKey {
        refuse(&state, client).await;
    }
    let mut response = denied.problem().into_response();
    if let Ok(challenge) = HeaderValue::from_str(&denied.challenge()) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Notes an unknown key, and waits before the refusal of a client that sends many. Nothing of the
/// request's body is read meanwhile.
async fn refuse(state: &State, client: IpAddr) {
    let refusal = state.failures.note(client, Instant::now().into_std());
    if let Some(count) = refusal.report {
        tracing::warn!(
            %client,
            count,
            "a client sends a key that is not known (API_KEYS_FILE); count: such requests of all \
             clients since the last line"
        );
    }
    if let Some(wait) = refusal.wait {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = state.lifecycle.shutdown_begins() => {}
        }
    }
}
