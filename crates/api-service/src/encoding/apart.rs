//! Decoding on another thread: this side hands over what comes of the body, and takes what was
//! decoded. The body itself stays here, where its rest is found after a fault.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

type Piece = io::Result<Bytes>;

/// A body that is decoded on another thread.
pub(super) struct Apart<S> {
    /// The body as it comes.
    encoded: S,
    /// The way to the decoder; `None` once the body has ended, or the decoder takes no more.
    feed: Option<PollSender<Piece>>,
    decoded: mpsc::Receiver<Piece>,
}

/// The body's pieces as the decoder gets them.
pub(super) type Fed = BoxStream<'static, Piece>;

impl<S> Apart<S> {
    /// Decodes a body there. Dropped, it ends the decoding.
    pub(super) fn new<D>(encoded: S, there: &Handle, decode: impl FnOnce(Fed) -> D) -> Self
    where
        D: Stream<Item = Piece> + Send + 'static,
    {
        // One piece each: what comes faster than it is decoded waits in the client's connection.
        let (feed, mut fed) = mpsc::channel(1);
        let (give, decoded) = mpsc::channel(1);
        let fed = stream::poll_fn(move |context| fed.poll_recv(context)).boxed();
        let decoding = decode(fed);
        there.spawn(async move {
            let mut decoding = std::pin::pin!(decoding);
            while let Some(piece) = decoding.next().await {
                if give.send(piece).await.is_err() {
                    break;
                }
            }
        });
        Self { encoded, feed: Some(PollSender::new(feed)), decoded }
    }
}

impl<S: Stream<Item = Piece> + Unpin> Stream for Apart<S> {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        let this = &mut *self;
        if let Poll::Ready(piece) = this.decoded.poll_recv(context) {
            return Poll::Ready(piece);
        }
        while let Some(feed) = &mut this.feed {
            let has_room = std::task::ready!(feed.poll_reserve(context)).is_ok();
            let piece = if has_room {
                std::task::ready!(this.encoded.poll_next_unpin(context))
            } else {
                None
            };
            match piece {
                Some(piece) => {
                    let _ = feed.send_item(piece);
                }
                None => this.feed = None,
            }
        }
        Poll::Pending
    }
}
