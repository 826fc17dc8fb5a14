//! The layer that discards what is left of a refused request's body.
//!
//! A client that is still sending when its request is refused would see a failed write instead of
//! the answer. So the rest of the body is read for a while before the answer leaves, and where its
//! end is not reached, the answer closes the connection. No handler has to think of this: the rest
//! comes from `unread.rs`, whether the handler read a part of the body or dropped it unseen.
//!
//! Answers that are no refusals, and bodies that were read to their end, pass through as they are.

use std::convert::Infallible;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::Route;
use tower::layer::layer_fn;
use tower::{Layer, Service, ServiceExt};

use crate::problem::LeaveBodyUnread;
use crate::state::SharedState;
use crate::unread::{self, Unread};

/// The layer, for a service that may shut down meanwhile.
pub(crate) fn layer(
    state: SharedState,
) -> impl Layer<
    Route,
    Service = impl Service<Request, Response = Response, Error = Infallible, Future: Send>
              + Clone
              + Send
              + Sync
              + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    layer_fn(move |route: Route| {
        let state = SharedState::clone(&state);
        ServiceExt::<Request>::map_future(route, move |answering| {
            let state = SharedState::clone(&state);
            async move {
                let (answer, unread) = unread::collect(answering).await;
                let response = answer?;
                match unread {
                    Some(unread) if needs_drain(&response) => {
                        Ok(Box::pin(drain(state, response, unread)).await)
                    }
                    Some(_) | None => Ok(response),
                }
            }
        })
    })
}

/// Whether this is a refusal, and not one of those that give the body up on purpose.
fn needs_drain(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response.extensions().get::<LeaveBodyUnread>().is_none()
}

async fn drain(state: SharedState, mut response: Response, unread: Unread) -> Response {
    let reached_end = tokio::select! {
        reached_end = unread.discard() => reached_end,
        () = state.lifecycle.time_is_up() => false,
    };
    if !reached_end {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
