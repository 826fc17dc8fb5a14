//! Decoding on another thread: this side hands over what comes of the body, and takes what was
//! decoded. The body itself stays here, where its rest is found after a fault. The other side says
//! when it is done: one that ends without that word has failed, and what it gave is not the whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::failure::Failure;
use super::memory::{Memory, Weighed};
use crate::budget::Share;

type Piece = io::Result<Bytes>;

/// What comes from the decoder.
enum Given {
    Piece(Weighed),
    /// The body is decoded to its end, or an error was the last piece.
    End,
}

/// A body that is decoded on another thread.
pub(super) struct Apart<'a> {
    /// The body as it comes.
    encoded: BoxStream<'a, Weighed>,
    /// The way to the decoder; `None` once the body has ended, or the decoder takes no more.
    feed: Option<PollSender<Weighed>>,
    decoded: mpsc::Receiver<Given>,
    ended: bool,
}

/// The body's pieces as the decoder gets them.
pub(super) type Fed = BoxStream<'static, Piece>;

impl<'a> Apart<'a> {
    /// Decodes a body there. Dropped, it ends the decoding.
    pub(super) fn new<D>(
        encoded: impl Stream<Item = Piece> + Send + 'a,
        memory: Memory,
        there: &Handle,
        decode: impl FnOnce(Fed) -> D,
    ) -> Self
    where
        D: Stream<Item = Piece> + Send + 'static,
    {
        // One piece each: what comes faster than it is decoded waits in the client's connection.
        let (feed, fed) = mpsc::channel(1);
        let (give, decoded) = mpsc::channel(1);
        there.spawn(decode_all(decode(unweighed(fed)), memory.clone(), give));
        let weighed = encoded.then(move |piece| weigh(memory.clone(), piece));
        Self { encoded: weighed.boxed(), feed: Some(PollSender::new(feed)), decoded, ended: false }
    }
}

async fn weigh(memory: Memory, piece: Piece) -> Weighed {
    memory.weigh(piece?).await
}

/// The pieces; the share of each is kept until the next one is asked for.
fn unweighed(mut fed: mpsc::Receiver<Weighed>) -> Fed {
    let mut held: Option<Share> = None;
    let next = stream::poll_fn(move |context| {
        drop(held.take());
        let piece = ready!(fed.poll_recv(context));
        Poll::Ready(piece.map(|weighed| {
            weighed.map(|(bytes, share)| {
                held = Some(share);
                bytes
            })
        }))
    });
    next.boxed()
}

/// Decodes to the end, or until nobody takes what is decoded.
async fn decode_all(
    decoding: impl Stream<Item = Piece>,
    memory: Memory,
    give: mpsc::Sender<Given>,
) {
    let mut decoding = std::pin::pin!(decoding);
    while let Some(piece) = decoding.next().await {
        let weighed = tokio::select! {
            weighed = weigh(memory.clone(), piece) => weighed,
            () = give.closed() => return,
        };
        if give.send(Given::Piece(weighed)).await.is_err() {
            return;
        }
    }
    // Fails only where nobody takes it.
    let _ = give.send(Given::End).await;
}

impl Stream for Apart<'_> {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(given) = this.decoded.poll_recv(context) {
            if let Some(Given::Piece(weighed)) = given {
                return Poll::Ready(Some(weighed.map(|(bytes, _share)| bytes)));
            }
            this.ended = true;
            let broke_off = given.is_none().then(|| Err(Failure::BrokeOff.into()));
            return Poll::Ready(broke_off);
        }
        while let Some(feed) = &mut this.feed {
            let has_room = ready!(feed.poll_reserve(context)).is_ok();
            let piece = if has_room { ready!(this.encoded.poll_next_unpin(context)) } else { None };
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
