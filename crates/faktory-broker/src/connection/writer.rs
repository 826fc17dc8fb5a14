//! The writing side of a connection: the replies of the core become bytes.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::window::Answered;
use crate::core::{Event, Outgoing};
use crate::delivery::Delivery;
use crate::unwritten::WrittenBytes;

/// Replies are gathered up to this size before they are written.
const WRITE_BYTES: usize = 64 << 10;

/// The replies of the core to a connection.
pub(super) struct Replies {
    pub(super) receiver: mpsc::Receiver<Outgoing>,
    /// Where the written bytes are counted.
    pub(super) written: WrittenBytes,
}

/// How much of the core's output was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Everything, up to the order to close.
    Completely,
    /// The connection broke, or the core is gone.
    Partly,
}

/// Whether the core has more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathered {
    More,
    Last,
}

/// Replies that are written together, with the permits that give their room back to the window.
#[derive(Default)]
struct Group {
    wire: Vec<u8>,
    permits: Vec<OwnedSemaphorePermit>,
    /// The bytes for which the replies count.
    bytes: u64,
}

/// Writes replies, as many at a time as are ready, until the core closes the connection or the
/// connection breaks.
pub(super) async fn write_replies(
    writer: &mut (impl AsyncWrite + Unpin),
    replies: &mut Replies,
    core: &flume::Sender<Event>,
    answered: &mut Answered,
    delivery: &mut Delivery<'_>,
) -> Written {
    let mut group = Group::default();
    loop {
        let Some(first) = replies.receiver.recv().await else { return Written::Partly };
        let gathered = group.gather(first, &mut replies.receiver, answered, delivery);
        if write_all(writer, &group.wire, delivery).await.is_err() {
            return Written::Partly;
        }
        let bytes = group.clear();
        if replies.written.add(bytes) && core.send_async(Event::Wrote).await.is_err() {
            return Written::Partly;
        }
        if gathered == Gathered::Last {
            return Written::Completely;
        }
    }
}

impl Group {
    /// Encodes `first` and the replies that are ready.
    fn gather(
        &mut self,
        first: Outgoing,
        replies: &mut mpsc::Receiver<Outgoing>,
        answered: &mut Answered,
        delivery: &mut Delivery<'_>,
    ) -> Gathered {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            match outgoing {
                Outgoing::Reply { reply, reservation, bytes } => {
                    self.bytes += bytes as u64;
                    reply.encode(&mut self.wire);
                    self.permits.extend(answered.next());
                    if let Some(reservation) = reservation {
                        delivery.expect(self.wire.len(), reservation);
                    }
                }
                Outgoing::Close => return Gathered::Last,
            }
            next = if self.wire.len() < WRITE_BYTES { replies.try_recv().ok() } else { None };
        }
        Gathered::More
    }

    /// Gives the room back to the window, and returns the bytes for which the replies counted. The
    /// memory of an unusually large group is freed.
    fn clear(&mut self) -> u64 {
        self.wire.clear();
        self.permits.clear();
        if self.wire.capacity() > 4 * WRITE_BYTES {
            self.wire = Vec::new();
        }
        std::mem::take(&mut self.bytes)
    }
}

async fn write_all(
    writer: &mut (impl AsyncWrite + Unpin),
    mut wire: &[u8],
    delivery: &mut Delivery<'_>,
) -> io::Result<()> {
    while !wire.is_empty() {
        let count = writer.write(wire).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        delivery.wrote();
        wire = wire.get(count..).unwrap_or_default();
    }
    writer.flush().await?;
    delivery.flushed();
    Ok(())
}

/// Writes bytes that hold no job.
pub(super) async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}
