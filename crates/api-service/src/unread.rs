//! The part of a request's body that its handler has not read.
//!
//! Each request enters the routes with its body as a [`TrackedBody`]. When the handler drops such a
//! body before its end, the rest moves into a slot of the task that handles the request, where
//! [`collect`] finds it. The wrapper takes the place of hyper's body in the box that axum makes
//! anyway, and adds no allocation, lock or copy; the slot costs one task-local scope a request. A
//! body that is read in a task of its own (a stream's) has no slot, and is simply dropped.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::http::{Request, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, sleep_until};

/// How long the rest of a body is read.
pub(crate) const DISCARD_TIME: Duration = Duration::from_secs(2);
/// How many bytes of the rest of a body are read.
pub(crate) const DISCARD_BYTES: usize = 64 << 20;
/// How many bytes of such rests are read in a second, of all clients together: otherwise whoever
/// sends large bodies that are refused keeps every processor busy.
const DISCARD_RATE: f64 = (128 << 20) as f64;
/// A wait for one's turn that is not worth a timer.
const TURN_MIN: Duration = Duration::from_millis(2);

/// The turns in which rests of bodies are read.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the next turn begins; `None` before the first.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits until more may be read, after so many bytes. Cancel safe. Nobody waits longer than the
    /// rest of a body is read, so clients that have left leave no longer wait behind.
    pub(crate) async fn wait(&self, bytes: usize) {
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = next.map_or(now, |next| next.max(now))
                + Duration::from_secs_f64(bytes as f64 / DISCARD_RATE);
            let turn = turn.min(now + DISCARD_TIME);
            *next = Some(turn);
            turn
        };
        if turn > now + TURN_MIN {
            sleep_until(turn).await;
        }
    }
}

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
pub(crate) struct Unread<B = Incoming> {
    rest: B,
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
            let unread = Unread::new(incoming, self.expects_continue);
            let _outside_of_a_request = SLOT.try_with(|slot| slot.set(Some(unread)));
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> Unread<B> {
    /// `expects_continue`: whether the client waits for leave to send.
    pub(crate) const fn new(rest: B, expects_continue: bool) -> Self {
        Self { rest, expects_continue }
    }

    /// Reads the rest and forgets it, within a time and a size; true where the end was reached. A
    /// client that waits for leave to send (`Expect: 100-continue`) is not asked for the rest.
    pub(crate) async fn discard(mut self, pace: &Pace) -> bool {
        if self.expects_continue {
            return false;
        }
        let read = async {
            let mut seen = 0;
            loop {
                let bytes = match self.rest.frame().await {
                    None => return true,
                    Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) => return false,
                };
                seen += bytes;
                if seen > DISCARD_BYTES {
                    return false;
                }
                if self.rest.is_end_stream() {
                    return true;
                }
                pace.wait(bytes).await;
            }
        };
        deadline::timeout(DISCARD_TIME, read).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;

    const CHUNK: usize = 1 << 20;

    /// Chunks of 1 MiB that are there at once, and the number of those that were read.
    fn chunks(count: usize) -> (Unread<Body>, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let chunk = Bytes::from(vec![b'a'; CHUNK]);
        let chunks = stream::iter(0..count).map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(chunk.clone())
        });
        (Unread::new(Body::from_stream(chunks), false), read)
    }

    /// A body whose end comes after a time.
    fn end_after(time: Duration) -> Unread<Body> {
        let end = tokio::time::sleep(time).map(|()| Ok::<_, Infallible>(Bytes::from("end")));
        Unread::new(Body::from_stream(end.boxed().into_stream()), false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_of_64_mib_is_read_to_its_end_and_a_larger_rest_is_not() {
        let (unread, read) = chunks(64);
        assert!(unread.discard(&Pace::default()).await);
        assert_eq!(read.load(Ordering::SeqCst), 64);
        let (unread, read) = chunks(1000);
        assert!(!unread.discard(&Pace::default()).await);
        assert_eq!(read.load(Ordering::SeqCst), 65);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_whose_end_comes_within_2_s_is_read_and_a_later_end_is_not_waited_for() {
        assert!(end_after(Duration::from_millis(1990)).discard(&Pace::default()).await);
        assert!(!end_after(Duration::from_millis(2500)).discard(&Pace::default()).await);
        assert!(!Unread::new(Body::from_stream(no_chunk()), false).discard(&Pace::default()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn rests_of_all_bodies_together_are_read_at_one_rate() {
        let (pace, begun) = (Pace::default(), Instant::now());
        let (one, other) = (chunks(40).0, chunks(24).0);
        let (one, other) = tokio::join!(one.discard(&pace), other.discard(&pace));
        assert!(one && other);
        let milliseconds = begun.elapsed().as_millis();
        assert!((490..=510).contains(&milliseconds), "64 MiB within {milliseconds} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_left_keep_nobody_waiting() {
        let pace = Pace::default();
        for _ in 0..100 {
            // Each would take half a second, and leaves at once.
            assert_eq!(chunks(64).0.discard(&pace).now_or_never(), None);
            for _ in 0..64 {
                assert_eq!(pace.wait(CHUNK).now_or_never(), None);
            }
        }
        // What has come whole needs no turn, and the next turn is not far.
        let whole = Unread::new(Body::from("refused"), false);
        assert_eq!(whole.discard(&pace).now_or_never(), Some(true));
        let begun = Instant::now();
        pace.wait(CHUNK).await;
        assert!(begun.elapsed() <= DISCARD_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_fails_has_no_end() {
        let failure = stream::iter([Ok(Bytes::from("a")), Err(std::io::Error::other("cut"))]);
        assert!(!Unread::new(Body::from_stream(failure), false).discard(&Pace::default()).await);
    }

    #[test]
    fn a_client_that_waits_for_leave_to_send_is_not_waited_for() {
        let unread = Unread::new(Body::from_stream(no_chunk()), true);
        assert_eq!(unread.discard(&Pace::default()).now_or_never(), Some(false));
    }

    fn no_chunk() -> stream::Pending<Result<Bytes, Infallible>> {
        stream::pending()
    }
}
