//! The driver, the task of a connection: writes commands, reads replies, and ends the connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use faktory_wire::{Command, Reply, ReplyDecoder};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::large_reply::LargeReply;
use super::state::{Line, LineGroup, State, Waiter};
use crate::config::LinkConfig;
use crate::connect::Dialled;
use crate::error::{LinkError, Phase};
use crate::stream::Stream;

/// Bytes up to which commands are collected for one write to the system.
const WRITE_BYTES: usize = 256 << 10;

/// The driver of one connection.
pub(super) struct Driver {
    pub(super) state: Arc<State>,
    pub(super) config: LinkConfig,
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
                let (reader, writer) = tokio::io::split(stream);
                self.run_over(reader, writer, rest, queue).await;
            }
        }
    }

    async fn run_over(
        self,
        reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        rest: BytesMut,
        queue: mpsc::Receiver<LineGroup>,
    ) {
        let mut writing = std::pin::pin!(self.write(&mut writer, queue));
        let mut reading = std::pin::pin!(self.read(reader, rest));
        let cause = tokio::select! {
            cause = &mut writing => cause,
            cause = &mut reading => cause,
            // The cause is known already.
            () = self.state.given_up.notified() => LinkError::ClosedHere,
        };
        // The queue of writes still exists here, so a caller whose write is dropped with it finds
        // the cause.
        self.state.end(cause);
    }

    /// Writes until the connection fails; after the last sender has gone, until every command is
    /// answered.
    async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        mut queue: mpsc::Receiver<LineGroup>,
    ) -> LinkError {
        let mut wire = Vec::new();
        let mut finished: VecDeque<(u64, oneshot::Sender<()>)> = VecDeque::new();
        let mut end = 0;
        while let Some(first) = queue.recv().await {
            let mut next = Some(first);
            while let Some(write) = next {
                for Line { bytes, reply, window } in write.lines {
                    wire.extend_from_slice(&bytes);
                    end += bytes.len() as u64;
                    let waiter = Waiter { reply, end, since: Instant::now(), _window: window };
                    self.state.in_flight().waiters.push_back(waiter);
                }
                finished.push_back((end, write.written));
                next = if wire.len() < WRITE_BYTES { queue.try_recv().ok() } else { None };
            }
            self.state.sent.notify_one();
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
        stream: &mut (impl AsyncWrite + Unpin),
        mut wire: &[u8],
        finished: &mut VecDeque<(u64, oneshot::Sender<()>)>,
    ) -> Result<(), LinkError> {
        let limit = self.config.write_timeout;
        while !wire.is_empty() {
            let count = match self.within(limit, stream.write(wire)).await {
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
                in_flight.written
            };
            self.within(limit, stream.flush()).await?;
            while finished.front().is_some_and(|(end, _)| *end <= written) {
                if let Some((_, done)) = finished.pop_front() {
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, LinkError> {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(|source| LinkError::Io { phase: Phase::Write, source }),
            Err(_) => Err(LinkError::Timeout { phase: Phase::Write, after: limit }),
        }
    }

    /// Waits for the last replies, then says END, once no further command is to be sent. The
    /// reader's deadlines bound the wait.
    async fn drain(&self, stream: &mut (impl AsyncWrite + Unpin)) -> LinkError {
        loop {
            let idle = self.state.idle.notified();
            if self.state.in_flight().waiters.is_empty() {
                break;
            }
            idle.await;
        }
        if self.write_all(stream, &Command::End.to_line(), &mut VecDeque::new()).await.is_ok() {
            // TLS tells the other side that the end is intended.
            let _ = self.within(self.config.write_timeout, stream.shutdown()).await;
        }
        LinkError::ClosedHere
    }

    /// Reads replies until the connection fails.
    async fn read(&self, mut stream: impl AsyncRead + Unpin, mut buffer: BytesMut) -> LinkError {
        let mut decoder = ReplyDecoder::new(self.config.reply_limit);
        let mut large = LargeReply::new(&self.config);
        let limit = self.config.read_timeout;
        // The timer is set anew only where it fires too early: deadlines only ever move on.
        let mut alarm = std::pin::pin!(tokio::time::sleep(limit));
        loop {
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(reply)) => {
                        let reply = large.finish(reply, &mut buffer);
                        if let Err(cause) = self.deliver(reply) {
                            return cause;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return error.into(),
                }
            }
            if large.admit(&decoder, &mut buffer).await
                && let Some(waiter) = self.state.in_flight().waiters.front_mut()
            {
                // The time in which this side did not read is not the server's.
                waiter.since = Instant::now();
            }
            if buffer.capacity() - buffer.len() < 4 << 10 {
                buffer.reserve(16 << 10);
            }
            let due = self.state.in_flight().waiters.front().map(|waiter| waiter.since + limit);
            // Reading by poll, not by readiness: a read that did not fill the buffer needs no
            // second read to learn that there are no more bytes.
            let read = tokio::select! {
                read = stream.read_buf(&mut buffer) => read,
                // A command was sent while none was in flight: there is a deadline now.
                () = self.state.sent.notified(), if due.is_none() => continue,
                () = &mut alarm, if due.is_some() => match due {
                    Some(due) if due > Instant::now() => {
                        alarm.as_mut().reset(due);
                        continue;
                    }
                    _ => return LinkError::Timeout { phase: Phase::Reply, after: limit },
                },
            };
            match read {
                Ok(0) => return LinkError::Closed(Phase::Reply),
                Ok(_) => {}
                Err(source) => return LinkError::Io { phase: Phase::Reply, source },
            }
        }
    }

    /// Hands a reply to the oldest waiter. A reply without a waiter breaks the protocol.
    fn deliver(&self, reply: Reply) -> Result<(), LinkError> {
        let mut in_flight = self.state.in_flight();
        match in_flight.waiters.pop_front() {
            Some(waiter) => {
                // The next reply's deadline is counted from now, because the server carries out one
                // command after another.
                if let Some(next) = in_flight.waiters.front_mut() {
                    next.since = Instant::now();
                }
                if in_flight.waiters.is_empty() {
                    self.state.idle.notify_one();
                }
                drop(in_flight);
                let _ = waiter.reply.send(Ok(reply));
                Ok(())
            }
            // Faktory refuses a client beyond its limit of clients only after the welcome.
            None => Err(match reply {
                Reply::Error(text) => LinkError::refused(&text),
                other => LinkError::Unexpected(format!("{other:?} to no command")),
            }),
        }
    }
}
