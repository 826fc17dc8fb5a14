//! The idleness of a client that sends a body. Only the time counts in which its next bytes are
//! waited for, and not the time in which nobody asks for them because this service is busy.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use deadline::LateSleep;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use crate::encoding::Failure;

/// Whether a client's next bytes are waited for. Clones tell of one client.
#[derive(Debug, Clone, Default)]
pub(crate) struct AwaitsClient(Arc<AtomicBool>);

impl AwaitsClient {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that fails with [`Failure::Idle`] once its next bytes were waited for so long.
pub(crate) struct Unidle<S> {
    body: S,
    idle: Duration,
    /// Runs while the client's bytes are waited for.
    sleep: Pin<Box<LateSleep>>,
    awaits: AwaitsClient,
    ended: bool,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Unidle<S> {
    pub(crate) fn new(body: S, idle: Duration) -> Self {
        let sleep = Box::pin(LateSleep::until(Instant::now() + idle));
        Self { body, idle, sleep, awaits: AwaitsClient::default(), ended: false }
    }

    /// Tells, while this is read, whether the client is waited for.
    pub(crate) fn awaits_client(&self) -> AwaitsClient {
        self.awaits.clone()
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
            this.awaits.0.store(false, Ordering::Relaxed);
            return Poll::Ready(piece);
        }
        if !this.awaits.0.swap(true, Ordering::Relaxed) {
            this.sleep.as_mut().reset(Instant::now() + this.idle);
        }
        ready!(this.sleep.as_mut().poll(context));
        this.ended = true;
        Poll::Ready(Some(Err(Failure::Idle.into())))
    }
}
