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
use axum::response::{IntoResponse, Response};
use tower::layer::layer_fn;
use tower::{Layer, Service, ServiceExt};

use crate::lifecycle::Lifecycle;
use crate::problem::LeaveBodyUnread;
use crate::state::SharedState;
use crate::unread;

/// The layer, for a service that may shut down meanwhile.
pub(crate) fn layer<S>(
    state: SharedState,
) -> impl Layer<
    S,
    Service = impl Service<Request, Response = Response, Error = Infallible, Future: Send>
              + Clone
              + Send
              + Sync
              + 'static,
> + Clone
+ Send
+ Sync
+ 'static
where
    S: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    layer_fn(move |inner: S| {
        let state = SharedState::clone(&state);
        ServiceExt::<Request>::map_future(inner, move |answering| {
            let state = SharedState::clone(&state);
            async move {
                let (answer, unread) = unread::collect(answering).await;
                let response = answer?.into_response();
                match unread {
                    Some(unread) if needs_drain(&response) => {
                        let rest = unread.discard(&state.discards);
                        Ok(Box::pin(drain(&state.lifecycle, response, rest)).await)
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

/// Waits for the end of the body, of which `rest` tells whether it was reached.
async fn drain(
    lifecycle: &Lifecycle,
    mut response: Response,
    rest: impl Future<Output = bool>,
) -> Response {
    let reached_end = tokio::select! {
        reached_end = rest => reached_end,
        () = lifecycle.time_is_up() => false,
    };
    if !reached_end {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use axum::http::StatusCode;
    use futures_util::{FutureExt, stream};

    use super::*;
    use crate::lifecycle::Phase;
    use crate::problem::{Code, Problem};
    use crate::unread::{Pace, Unread};

    fn refusal() -> Problem {
        Problem::new(Code::BodyTooLarge, "too large")
    }

    fn closes(response: &Response) -> bool {
        response.headers().get(header::CONNECTION).is_some_and(|value| value == "close")
    }

    #[test]
    fn refusals_are_drained_unless_they_leave_the_body_unread() {
        assert!(needs_drain(&refusal().into_response()));
        assert!(needs_drain(&refusal().closing().into_response()));
        assert!(!needs_drain(&refusal().closing_at_once().into_response()));
        assert!(needs_drain(&StatusCode::INTERNAL_SERVER_ERROR.into_response()));
        assert!(!needs_drain(&StatusCode::ACCEPTED.into_response()));
        assert!(!needs_drain(&StatusCode::MULTI_STATUS.into_response()));
    }

    #[tokio::test]
    async fn the_connection_is_kept_where_the_end_of_the_body_was_reached() {
        let pace = Pace::default();
        let rest = Unread::new(Body::from("the rest"), false).discard(&pace);
        let response = drain(&Lifecycle::new(), refusal().into_response(), rest).await;
        assert!(!closes(&response));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_when_requests_in_flight_have_no_time_left() {
        let lifecycle = Lifecycle::new();
        let endless = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let pace = Pace::default();
        let rest = Unread::new(endless, false).discard(&pace);
        let draining = drain(&lifecycle, refusal().into_response(), rest);
        let mut draining = std::pin::pin!(draining);
        assert!(draining.as_mut().now_or_never().is_none());
        lifecycle.enter(Phase::ShuttingDown);
        assert!(draining.as_mut().now_or_never().is_none(), "requests in flight go on");
        lifecycle.enter(Phase::TimeIsUp);
        assert!(closes(&draining.now_or_never().unwrap()));
    }
}
