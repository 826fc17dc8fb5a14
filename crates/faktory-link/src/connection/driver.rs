//! The driver, the task of a connection: writes commands, has replies read, and ends the
//! connection. The reading is in `reader.rs`.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use faktory_wire::Command;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::reader::Reader;
use super::state::{Line, LineGroup, State, Waiter};
use crate::arrival::{Deadline, OverTcp};
use crate::config::LinkConfig;
use crate::connect::Dialled;
use crate::error::{LinkError, Phase};
use crate::stream::{SharedTls, Stream};

/// Bytes up to which commands are collected for one write to the system.
const WRITE_BYTES: usize = 256 << 10;

/// The driver of one connection.
pub(super) struct Driver {
    pub(super) state: Arc<State>,
    pub(super) config: LinkConfig,
}

/// A group of lines until it is written.
struct Finished {
    /// Where the group ends in the stream of bytes.
    end: u64,
    /// The number of its last line.
    last: u64,
    told: oneshot::Sender<u64>,
}

/// Whoever waits for a reply is told that none comes, however the driver ends: a driver that broke
/// off would leave them waiting for ever.
impl Drop for Driver {
    fn drop(&mut self) {
        self.state.end(LinkError::ClosedHere);
    }
}

impl Driver {
    pub(super) async fn run(self, dialled: Dialled, queue: mpsc::Receiver<LineGroup>) {
        let Dialled { stream, rest, .. } = dialled;
        match stream {
            Stream::Plain(mut stream) => {
                let (reader, writer) = stream.split();
                self.run_over(reader, writer, rest, queue).await;
            }
            Stream::Tls(stream) => {
                let stream = SharedTls::new(stream);
                self.run_over(&stream, &stream, rest, queue).await;
            }
        }
    }

    async fn run_over(
        self,
        reader: impl AsyncRead + OverTcp + Unpin,
        mut writer: impl AsyncWrite + OverTcp + Unpin,
        rest: BytesMut,
        mut queue: mpsc::Receiver<LineGroup>,
    ) {
        let mut writing = std::pin::pin!(self.write(&mut writer, &mut queue));
        let replies = Reader { state: &self.state, config: &self.config };
        let mut reading = std::pin::pin!(replies.read(reader, rest));
        let mut nudged = std::pin::pin!(self.state.nudged.notified());
        let cause = loop {
            tokio::select! {
                cause = &mut writing => {
                    // Known from now on, so that nobody takes this connection for a live one.
                    self.state.note_cause(cause);
                    // Replies may have arrived that were not read: the other side may have closed
                    // the connection after them.
                    tokio::select! {
                        biased;
                        () = self.state.last_look() => {}
                        _ = &mut reading => {}
                    }
                    break LinkError::ClosedHere;
                }
                cause = &mut reading => break cause,
                () = &mut nudged => {
                    // The cause is known already.
                    if self.state.ended.get().is_some() {
                        break LinkError::ClosedHere;
                    }
                    // The next round of this loop polls the reader, which looks.
                    nudged.set(self.state.nudged.notified());
                }
            }
        };
        // A cause that is known already stays. The queue of writes still exists here, so a caller
        // whose write is dropped with it finds the cause.
        self.state.end(cause);
    }

    /// Writes until the connection fails; after the last sender has gone, until every command is
    /// answered.
    async fn write(
        &self,
        stream: &mut (impl AsyncWrite + OverTcp + Unpin),
        queue: &mut mpsc::Receiver<LineGroup>,
    ) -> LinkError {
        let mut wire = Vec::new();
        let mut finished: VecDeque<Finished> = VecDeque::new();
        let (mut end, mut last) = (0, 0);
        while let Some(first) = queue.recv().await {
            let mut next = Some(first);
            while let Some(write) = next {
                for Line { bytes, reply, window } in write.lines {
                    wire.extend_from_slice(&bytes);
                    end += bytes.len() as u64;
                    let waiter = Waiter { reply, end, since: None, _window: window };
                    let mut in_flight = self.state.in_flight();
                    in_flight.waiters.push_back(waiter);
                    in_flight.taken += 1;
                    last = in_flight.taken;
                }
                finished.push_back(Finished { end, last, told: write.written });
                next = if wire.len() < WRITE_BYTES { queue.try_recv().ok() } else { None };
            }
            if let Err(cause) = self.write_all(stream, &wire, &mut finished).await {
                return cause;
            }
            wire.clear();
            if wire.capacity() > 4 * WRITE_BYTES {
                wire = Vec::new();
            }
        }
        self.drain(stream).await
    }

    async fn write_all(
        &self,
        stream: &mut (impl AsyncWrite + OverTcp + Unpin),
        mut wire: &[u8],
        finished: &mut VecDeque<Finished>,
    ) -> Result<(), LinkError> {
        let mut deadline = Deadline::from_first_wait(self.config.write_timeout);
        while !wire.is_empty() {
            let write = |stream: Pin<&mut _>, context: &mut Context<'_>| {
                AsyncWrite::poll_write(stream, context, wire)
            };
            let count = match self.in_time(&mut deadline, stream, write).await {
                Ok(count) => count,
                Err(cause) => {
                    if self.config.tls.is_some() {
                        // A write by TLS is several writes to the system, and the first of
                        // these may have succeeded.
                        self.state.in_flight().written += wire.len() as u64;
                    }
                    return Err(cause);
                }
            };
            if count == 0 {
                return Err(LinkError::Io {
                    phase: Phase::Write,
                    source: std::io::ErrorKind::WriteZero.into(),
                });
            }
            wire = wire.get(count..).unwrap_or_default();
            // Bytes that TLS keeps back count too, because they may have left already.
            let written = {
                let mut in_flight = self.state.in_flight();
                in_flight.written += count as u64;
                if in_flight.begin_wait(Instant::now) {
                    self.state.sent.notify_one();
                }
                in_flight.written
            };
            self.in_time(&mut deadline, stream, AsyncWrite::poll_flush).await?;
            deadline.count(count);
            while finished.front().is_some_and(|group| group.end <= written) {
                if let Some(group) = finished.pop_front() {
                    let _ = group.told.send(group.last);
                }
            }
        }
        Ok(())
    }

    /// Carries out one step of writing before the deadline, which is also over where the system
    /// takes a few bytes now and then.
    async fn in_time<S: AsyncWrite + OverTcp + Unpin, T>(
        &self,
        deadline: &mut Deadline,
        stream: &mut S,
        step: impl Fn(Pin<&mut S>, &mut Context<'_>) -> Poll<std::io::Result<T>>,
    ) -> Result<T, LinkError> {
        let done = deadline
            .watch(stream, |stream, context| step(Pin::new(stream), context), S::takes_bytes)
            .await;
        match done {
            Ok(result) => result.map_err(|source| LinkError::Io { phase: Phase::Write, source }),
            Err(_) => {
                let after = self.config.write_timeout;
                Err(LinkError::Timeout { phase: Phase::Write, after })
            }
        }
    }

    /// Waits for the last replies, then says END, once no further command is to be sent. The
    /// reader's deadlines bound the wait.
    async fn drain(&self, stream: &mut (impl AsyncWrite + OverTcp + Unpin)) -> LinkError {
        loop {
            let idle = self.state.idle.notified();
            if self.state.in_flight().waiters.is_empty() {
                break;
            }
            idle.await;
        }
        if self.write_all(stream, &Command::End.to_line(), &mut VecDeque::new()).await.is_ok() {
            // TLS tells the other side that the end is intended.
            let mut deadline = Deadline::from_first_wait(self.config.write_timeout);
            let _ = self.in_time(&mut deadline, stream, AsyncWrite::poll_shutdown).await;
        }
        LinkError::ClosedHere
    }
}
