//! The writing side of a connection: the replies of the core become bytes. A client that has left
//! gets no job: its FETCH may have lain in the socket while this process was stopped. In place of
//! the job it is told that there is none, because it may have closed its sending side alone. The
//! job goes back to its queue at once, although the connection may go on for long: until what lies
//! in the socket before its end has been read, or until the client reads its replies.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use faktory_wire::Reply;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::window::Answered;
use crate::core::{Event, Outgoing};
use crate::delivery::{ClientSide, Delivery};
use crate::machine::Reservation;
use crate::unwritten::WrittenBytes;

/// Replies are gathered up to this size before they are written.
const WRITE_BYTES: usize = 64 << 10;
/// How often it is looked, while a write waits for its client to read, whether the client has left.
const LOOK: Duration = Duration::from_millis(250);

/// The replies of the core to a connection.
pub(super) struct Replies {
    receiver: mpsc::Receiver<Vec<Outgoing>>,
    /// Replies that were taken from the receiver.
    taken: VecDeque<Outgoing>,
    /// Where the written bytes are counted.
    written: WrittenBytes,
    /// The jobs that were not written because the client had left, and that the core has not been
    /// told of.
    unsent: Vec<Reservation>,
}

impl Replies {
    pub(super) const fn new(
        receiver: mpsc::Receiver<Vec<Outgoing>>,
        written: WrittenBytes,
    ) -> Self {
        Self { receiver, taken: VecDeque::new(), written, unsent: Vec::new() }
    }

    /// The next reply; `None` where the core is gone. Cancel safe.
    async fn next(&mut self) -> Option<Outgoing> {
        while self.taken.is_empty() {
            self.taken = self.receiver.recv().await?.into();
        }
        self.taken.pop_front()
    }

    /// The next reply that is ready.
    fn try_next(&mut self) -> Option<Outgoing> {
        while self.taken.is_empty() {
            self.taken = self.receiver.try_recv().ok()?.into();
        }
        self.taken.pop_front()
    }

    /// Takes the jobs out of the replies that are ready.
    fn withhold_jobs(&mut self) {
        while let Ok(outgoing) = self.receiver.try_recv() {
            self.taken.extend(outgoing);
        }
        for outgoing in &mut self.taken {
            if let Outgoing::Reply { reply, reservations, .. } = outgoing
                && !reservations.is_empty()
            {
                self.unsent.append(reservations);
                *reply = Reply::Nothing;
            }
        }
    }

    /// Has the core put the jobs back that were not written. False where the core is gone.
    async fn give_back(&mut self, core: &flume::Sender<Event>) -> bool {
        if self.unsent.is_empty() {
            return true;
        }
        let jobs = std::mem::take(&mut self.unsent);
        core.send_async(Event::Withheld { jobs }).await.is_ok()
    }

    /// The jobs that were never written. After this the core can't send more replies.
    pub(super) async fn into_unsent(mut self) -> Vec<Reservation> {
        self.receiver.close();
        while let Some(outgoing) = self.receiver.recv().await {
            self.taken.extend(outgoing);
        }
        self.unsent.extend(self.taken.into_iter().flat_map(Outgoing::into_reservations));
        self.unsent
    }
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
    /// Whether the client has left, as far as that was asked for this group.
    has_left: Option<bool>,
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
        let Some(first) = replies.next().await else { return Written::Partly };
        let gathered = group.gather(first, replies, answered, delivery);
        if !replies.give_back(core).await {
            return Written::Partly;
        }
        let client = delivery.client();
        let writing = write_all(writer, &group.wire, delivery);
        if write_for(client, writing, replies, core).await.is_err() {
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
        replies: &mut Replies,
        answered: &mut Answered,
        delivery: &mut Delivery<'_>,
    ) -> Gathered {
        let mut next = Some(first);
        while let Some(outgoing) = next {
            match outgoing {
                Outgoing::Reply { reply, reservations, bytes } => {
                    self.bytes += bytes as u64;
                    self.permits.extend(answered.next());
                    if !reservations.is_empty() && self.has_left(delivery.client()) {
                        replies.unsent.extend(reservations);
                        Reply::Nothing.encode(&mut self.wire);
                    } else {
                        reply.encode(&mut self.wire);
                        delivery.expect(self.wire.len(), reservations);
                    }
                }
                Outgoing::Close => return Gathered::Last,
            }
            next = if self.wire.len() < WRITE_BYTES { replies.try_next() } else { None };
        }
        Gathered::More
    }

    /// True where the client has closed its side. Asked of the system once for a group, and only
    /// where it has a job.
    fn has_left(&mut self, client: ClientSide<'_>) -> bool {
        *self.has_left.get_or_insert_with(|| client.has_left())
    }

    /// Gives the room back to the window, and returns the bytes for which the replies counted. The
    /// memory of an unusually large group is freed.
    fn clear(&mut self) -> u64 {
        self.wire.clear();
        self.permits.clear();
        self.has_left = None;
        if self.wire.capacity() > 4 * WRITE_BYTES {
            self.wire = Vec::new();
        }
        std::mem::take(&mut self.bytes)
    }
}

/// Awaits a write. Where it waits for a client that has left and does not read, the jobs behind it
/// go back to their queues meanwhile.
async fn write_for(
    client: ClientSide<'_>,
    writing: impl Future<Output = io::Result<()>>,
    replies: &mut Replies,
    core: &flume::Sender<Event>,
) -> io::Result<()> {
    let mut writing = std::pin::pin!(writing);
    loop {
        if let Ok(written) = tokio::time::timeout(LOOK, writing.as_mut()).await {
            return written;
        }
        if client.has_left() {
            replies.withhold_jobs();
            if !replies.give_back(core).await {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }
}

async fn write_all(
    writer: &mut (impl AsyncWrite + Unpin),
    wire: &[u8],
    delivery: &mut Delivery<'_>,
) -> io::Result<()> {
    write_pieces(writer, wire, || delivery.wrote()).await?;
    writer.flush().await?;
    delivery.flushed();
    Ok(())
}

/// Writes bytes in pieces, and lets other connections have their turn after each: a system call
/// copies all that the socket has room for, which may be megabytes.
async fn write_pieces(
    writer: &mut (impl AsyncWrite + Unpin),
    mut wire: &[u8],
    mut wrote: impl FnMut(),
) -> io::Result<()> {
    while let Some(piece) = wire.get(..wire.len().min(WRITE_BYTES)).filter(|p| !p.is_empty()) {
        let count = writer.write(piece).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        wrote();
        wire = wire.get(count..).unwrap_or_default();
        if !wire.is_empty() {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Writes bytes that hold no job.
pub(super) async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_large_reply_is_written_in_pieces_and_others_have_their_turn_in_between() {
        let wire: Vec<u8> = (0..10 * WRITE_BYTES).map(|n| n as u8).collect();
        let (mut written, mut pieces) = (Vec::new(), 0);
        let mut turns = 0;
        let others = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = others => {}
            result = write_pieces(&mut written, &wire, || pieces += 1) => result.unwrap(),
        }
        assert_eq!((pieces, written == wire), (10, true));
        assert!(turns >= 10, "{turns}");
    }
}
