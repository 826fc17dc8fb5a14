//! The idleness of a client that sends a body. Only the time counts in which its next bytes are
//! waited for, and not the time in which nobody asks for them because this service is busy.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use deadline::LateSleep;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use crate::encoding::Failure;

/// How long a client's bytes were waited for. Clones tell of one client.
#[derive(Debug, Clone)]
pub(crate) struct AwaitedClient(Arc<Mutex<Awaited>>);

#[derive(Debug)]
struct Awaited {
    began: Instant,
    before: Duration,
    /// Since when the client is waited for, while it is.
    since: Option<Instant>,
}

impl AwaitedClient {
    fn new() -> Self {
        let (began, before, since) = (Instant::now(), Duration::ZERO, None);
        Self(Arc::new(Mutex::new(Awaited { began, before, since })))
    }

    fn lock(&self) -> MutexGuard<'_, Awaited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where the client took at least half of the time since the beginning, and not this
    /// service.
    pub(crate) fn took_most(&self) -> bool {
        let awaited = self.lock();
        let now = Instant::now();
        let last = awaited.since.map_or(Duration::ZERO, |since| now.duration_since(since));
        (awaited.before + last) * 2 >= now.duration_since(awaited.began)
    }

    /// False where the client was waited for already.
    fn begins(&self) -> bool {
        let mut awaited = self.lock();
        let is_new = awaited.since.is_none();
        awaited.since.get_or_insert_with(Instant::now);
        is_new
    }

    fn ends(&self) {
        let mut awaited = self.lock();
        if let Some(since) = awaited.since.take() {
            awaited.before += since.elapsed();
        }
    }
}

/// A body that fails with [`Failure::Idle`] once its next bytes were waited for so long.
pub(crate) struct Unidle<S> {
    body: S,
    idle: Duration,
    /// Runs while the client's bytes are waited for.
    sleep: Pin<Box<LateSleep>>,
    awaited: AwaitedClient,
    ended: bool,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Unidle<S> {
    pub(crate) fn new(body: S, idle: Duration) -> Self {
        let sleep = Box::pin(LateSleep::until(Instant::now() + idle));
        Self { body, idle, sleep, awaited: AwaitedClient::new(), ended: false }
    }

    /// Tells, while this is read, how long the client was waited for.
    pub(crate) fn awaited_client(&self) -> AwaitedClient {
        self.awaited.clone()
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Unidle<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(piece) = this.body.poll_next_unpin(context) {
            this.awaited.ends();
            return Poll::Ready(piece);
        }
        if this.awaited.begins() {
            this.sleep.as_mut().reset(Instant::now() + this.idle);
        }
        ready!(this.sleep.as_mut().poll(context));
        this.ended = true;
        Poll::Ready(Some(Err(Failure::Idle.into())))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};

    use super::*;

    /// A piece that comes after `first`, and is used for `then`; then the next is waited for.
    async fn took_most(first: u64, then: u64) -> bool {
        let piece = async move {
            tokio::time::sleep(Duration::from_secs(first)).await;
            Ok(Bytes::from_static(b"piece"))
        };
        let body = Box::pin(stream::once(piece).chain(stream::pending()));
        let mut body = Unidle::new(body, Duration::from_secs(1000));
        let awaited = body.awaited_client();
        body.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(then)).await;
        assert!(body.next().now_or_never().is_none());
        awaited.took_most()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_the_client_who_is_slow_where_it_took_at_least_half_of_the_time() {
        assert!(took_most(9, 1).await);
        assert!(!took_most(1, 9).await);
    }
}
