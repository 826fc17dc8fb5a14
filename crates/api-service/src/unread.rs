//! The part of a request's body that its handler has not read.
//!
//! Each request enters the routes with its body as a [`TrackedBody`]. When the handler drops such a
//! body before its end, the rest moves into a slot of the task that handles the request, where
//! [`collect`] finds it. The wrapper takes the place of hyper's body in the box that axum makes
//! anyway: no allocation, lock or copy is added. A body that is read in a task of its own (a
//! stream's) has no slot, and is simply dropped.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::http::{Request, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};

/// How long the rest of a body is read.
const DISCARD_TIME: Duration = Duration::from_secs(2);
/// How many bytes of the rest of a body are read.
const DISCARD_BYTES: usize = 64 << 20;

tokio::task_local! {
    static SLOT: Cell<Option<Unread>>;
}

/// A request's body, which leaves its unread rest behind when dropped.
pub(crate) struct TrackedBody {
    /// `None` once the end was reached, or reading failed.
    incoming: Option<Incoming>,
    expects_continue: bool,
}

/// The rest of a body.
pub(crate) struct Unread {
    incoming: Incoming,
    expects_continue: bool,
}

/// Gives a request a body that leaves its rest behind.
pub(crate) fn track(request: Request<Incoming>) -> Request<TrackedBody> {
    let expects_continue = request.headers().contains_key(header::EXPECT);
    request.map(|incoming| TrackedBody { incoming: Some(incoming), expects_continue })
}

/// Handles a request, and returns what was not read of its body beside the outcome.
pub(crate) async fn collect<F: Future>(handling: F) -> (F::Output, Option<Unread>) {
    let handling = async {
        let output = handling.await;
        (output, SLOT.with(Cell::take))
    };
    SLOT.scope(Cell::new(None), handling).await
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.incoming = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if !incoming.is_end_stream() {
            let unread = Unread { incoming, expects_continue: self.expects_continue };
            let _outside_of_a_request = SLOT.try_with(|slot| slot.set(Some(unread)));
        }
    }
}

impl Unread {
    /// Reads the rest and forgets it, within a time and a size; true where the end was reached. A
    /// client that waits for leave to send (`Expect: 100-continue`) is not asked for the rest.
    pub(crate) async fn discard(mut self) -> bool {
        if self.expects_continue {
            return false;
        }
        let read = async {
            let mut seen = 0;
            loop {
                match self.incoming.frame().await {
                    None => return true,
                    Some(Ok(frame)) => seen += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) => return false,
                }
                if seen > DISCARD_BYTES {
                    return false;
                }
            }
        };
        tokio::time::timeout(DISCARD_TIME, read).await.unwrap_or(false)
    }
}
