//! The reader of a connection: hands replies to their waiters, and gives a silent server up.
//!
//! A reply is late where the time since its command was written is over, and the system holds
//! nothing of the server: this process may have been stopped for that time, and the reply may lie
//! in the socket. A part of a reply that has come begins the time anew where it has
//! [`PROGRESS_MIN`] bytes, so a large reply may take long, and a trickle ends. A smaller part that
//! is taken in when the time is over begins the time anew once: after a stop of this process the
//! rest of the reply may need another round trip.
//!
//! The time passes in steps: however long this process stands still, one step of it counts. The
//! server may have stood still too, as where all of them run in one container or on one laptop.

#[cfg(test)]
mod tests;

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use faktory_wire::{Reply, ReplyDecoder};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::futures::Notified;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

use super::large_reply::LargeReply;
use super::state::State;
use crate::arrival::{OverTcp, PROGRESS_MIN};
use crate::config::LinkConfig;
use crate::error::{LinkError, Phase};

/// The steps in which the time of a reply passes.
const STEPS: u32 = 8;

/// The reader of one connection.
pub(super) struct Reader<'a> {
    pub(super) state: &'a State,
    pub(super) config: &'a LinkConfig,
}

/// The stream, and what was read of it and is not decoded.
struct Incoming<S> {
    stream: S,
    buffer: BytesMut,
    /// Those who wait until nothing more lies in the socket.
    looks: Vec<oneshot::Sender<()>>,
    /// Bytes that the buffer may hold by now.
    size_max: usize,
    /// When the time of a reply was looked at last; `None` where no reply is due.
    looked_at: Option<Instant>,
}

impl<S> Incoming<S> {
    /// Makes room for what is read next.
    fn make_room(&mut self) {
        if self.buffer.capacity() - self.buffer.len() < 4 << 10 {
            self.buffer.reserve(16 << 10);
        }
    }
}

/// The progress of the reply that is due, in the time that runs.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes read.
    bytes: usize,
    /// Something was read after the time was over.
    has_moved_late: bool,
    /// The time before this one brought too little, and was followed by this one nevertheless.
    is_last_time: bool,
}

impl Progress {
    /// Judges a time that is over: the progress of the next, where there is to be one.
    fn next(&self, has_moved: bool) -> Option<Self> {
        let is_enough = self.bytes >= PROGRESS_MIN;
        let has_moved = has_moved || self.has_moved_late;
        (is_enough || (has_moved && !self.is_last_time))
            .then(|| Self { is_last_time: !is_enough, ..Self::default() })
    }
}

/// What the reader has waited for.
enum Event {
    Read(std::io::Result<usize>),
    /// A command was written while none was in flight: there is a deadline now.
    Sent,
    /// The deadline has passed, and nothing more is to be read.
    Late {
        /// Something has come all the same.
        has_moved: bool,
    },
    /// This process stood still for so long, beyond one step.
    StoodStill(Duration),
}

impl Reader<'_> {
    /// Reads replies until the connection fails.
    pub(super) async fn read(
        &self,
        stream: impl AsyncRead + OverTcp + Unpin,
        buffer: BytesMut,
    ) -> LinkError {
        let mut incoming =
            Incoming { stream, buffer, looks: Vec::new(), size_max: 0, looked_at: None };
        let mut decoder = ReplyDecoder::new(self.config.reply_limit);
        let mut large = LargeReply::new(self.config);
        let mut progress = Progress::default();
        let limit = self.config.read_timeout;
        let mut alarm = pin!(sleep(limit));
        let mut now = Instant::now();
        loop {
            loop {
                match decoder.decode(&mut incoming.buffer) {
                    Ok(Some(reply)) => {
                        let reply = large.finish(reply, &mut incoming.buffer);
                        if let Err(cause) = self.deliver(reply, now) {
                            return cause;
                        }
                        progress = Progress::default();
                    }
                    Ok(None) => break,
                    Err(error) => return error.into(),
                }
            }
            let Incoming { stream, buffer, looks, .. } = &mut incoming;
            let admitted = large.admit(&decoder, buffer);
            match self.unless_broken(admitted, stream, looks, alarm.as_mut()).await {
                Ok(false) => {}
                Ok(true) => {
                    // The time in which this side did not read is not the server's.
                    self.begin_anew(Instant::now());
                    progress = Progress::default();
                }
                Err(cause) => return cause,
            }
            incoming.make_room();
            incoming.size_max = LargeReply::size_max(&decoder);
            let due = self.due(limit);
            let mut sent = pin!(self.state.sent.notified());
            let event = std::future::poll_fn(|context| {
                self.poll_event(context, &mut incoming, due, alarm.as_mut(), sent.as_mut())
            });
            match event.await {
                Event::Read(Ok(0)) => return LinkError::Closed(Phase::Reply),
                Event::Read(Ok(count)) => {
                    now = Instant::now();
                    progress.bytes += count;
                    // Judged when all that lies in the socket is read.
                    progress.has_moved_late |= due.is_some_and(|due| now >= due);
                }
                Event::Read(Err(source)) => return LinkError::Io { phase: Phase::Reply, source },
                Event::Sent => {}
                Event::Late { has_moved } => {
                    let Some(next) = progress.next(has_moved) else {
                        return LinkError::Timeout { phase: Phase::Reply, after: limit };
                    };
                    progress = next;
                    self.begin_anew(Instant::now());
                }
                Event::StoodStill(time) => self.leave_out(time),
            }
        }
    }

    /// Waits for memory, unless the connection breaks: nothing is read meanwhile that would tell.
    /// Looks end, since nobody is kept waiting for what is not read.
    async fn unless_broken<T>(
        &self,
        memory: impl Future<Output = T>,
        stream: &impl OverTcp,
        looks: &mut Vec<oneshot::Sender<()>>,
        mut alarm: Pin<&mut Sleep>,
    ) -> Result<T, LinkError> {
        let mut memory = pin!(memory);
        std::future::poll_fn(|context| {
            if let Poll::Ready(granted) = memory.as_mut().poll(context) {
                return Poll::Ready(Ok(granted));
            }
            self.state.take_looks(looks);
            looks.clear();
            let next = Instant::now() + self.config.read_timeout / STEPS;
            if alarm.deadline() > next {
                alarm.as_mut().reset(next);
            }
            while alarm.as_mut().poll(context).is_ready() {
                if let Some(source) = stream.error() {
                    return Poll::Ready(Err(LinkError::Io { phase: Phase::Reply, source }));
                }
                alarm.as_mut().reset(next);
            }
            Poll::Pending
        })
        .await
    }

    /// When the oldest reply is due.
    fn due(&self, limit: Duration) -> Option<Instant> {
        Some(self.state.in_flight().waiters.front()?.since? + limit)
    }

    fn begin_anew(&self, now: Instant) {
        if let Some(oldest) = self.state.in_flight().waiters.front_mut() {
            oldest.since = Some(now);
        }
    }

    /// Leaves a time out of what counts for the oldest reply.
    fn leave_out(&self, time: Duration) {
        if let Some(oldest) = self.state.in_flight().waiters.front_mut()
            && let Some(since) = oldest.since
        {
            oldest.since = Some((since + time).min(Instant::now()));
        }
    }

    /// Reads, and judges the deadline. The order matters: the process may be stopped anywhere.
    fn poll_event<S: AsyncRead + OverTcp + Unpin>(
        &self,
        context: &mut Context<'_>,
        incoming: &mut Incoming<S>,
        due: Option<Instant>,
        mut alarm: Pin<&mut Sleep>,
        sent: Pin<&mut Notified<'_>>,
    ) -> Poll<Event> {
        let Incoming { stream, buffer, looks, size_max, looked_at } = incoming;
        let now = Instant::now();
        let is_late = due.is_some_and(|due| now >= due);
        // Asked before the read: TLS may take in bytes that are no whole record.
        let has_moved = is_late && stream.has_arrivals();
        self.state.take_looks(looks);
        // Reading by poll, not by readiness: a read that did not fill the buffer needs no second
        // read to learn that there are no more bytes.
        let room = size_max.saturating_sub(buffer.len()).max(1);
        let mut room = (&mut *buffer).limit(room);
        if let Poll::Ready(read) = pin!(stream.read_buf(&mut room)).poll(context) {
            return Poll::Ready(Event::Read(read));
        }
        // Where something has arrived, Tokio is about to wake this task for it.
        if !looks.is_empty() && !stream.has_arrivals() {
            looks.clear();
        }
        let Some(due) = due else {
            *looked_at = None;
            return sent.poll(context).map(|()| Event::Sent);
        };
        let step = self.config.read_timeout / STEPS;
        // The first look is due when the wait begins: the process may have been stopped between
        // the writing of a command and this call.
        let begun = due.checked_sub(self.config.read_timeout).unwrap_or(now);
        let gap = now.duration_since(looked_at.replace(now).unwrap_or(begun));
        // The alarm goes off after each step: twice as long means that the process stood still.
        if gap > 2 * step {
            return Poll::Ready(Event::StoodStill(gap - step));
        }
        if is_late {
            let has_moved = has_moved || stream.has_arrivals();
            return Poll::Ready(Event::Late { has_moved });
        }
        if alarm.deadline() > now + step {
            alarm.as_mut().reset(due.min(now + step));
        }
        while alarm.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            // The deadline has passed within this call, so it is not known what the read took in.
            if now >= due {
                return Poll::Ready(Event::Late { has_moved: true });
            }
            alarm.as_mut().reset(due.min(now + step));
        }
        Poll::Pending
    }

    /// Hands a reply to the oldest waiter. A reply without a waiter breaks the protocol.
    fn deliver(&self, reply: Reply, now: Instant) -> Result<(), LinkError> {
        let mut in_flight = self.state.in_flight();
        match in_flight.waiters.pop_front() {
            Some(waiter) => {
                in_flight.answered += 1;
                // The next reply's deadline is counted from now, because the server carries out one
                // command after another.
                in_flight.begin_wait(|| now);
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
