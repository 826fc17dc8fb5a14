//! Whether the system holds bytes for a socket, or room for bytes, whatever Tokio knows of that;
//! and a deadline that asks before it is judged.
//!
//! A process that was stopped, and runs again, finds its deadlines passed. What came meanwhile lies
//! in the system, and Tokio learns of it only when its driver asks the next time, which may be
//! after the deadline is judged. The system itself always knows. Where it holds something, the
//! other side was not silent, and the time begins anew: once, so that a few bytes now and then hold
//! no connection for ever. Only [`PROGRESS_MIN`] bytes let it begin anew any number of times.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::Connect;

/// Bytes of one large reply or write that begin its time anew: megabytes may take many times as
/// long over a slow link, and a few bytes now and then hold no connection for ever. As many bytes
/// as a small reply has at the most; in 10 s they need 52 kbit/s.
pub(crate) const PROGRESS_MIN: usize = 64 << 10;

/// Something that reads from a TCP socket and writes to it.
pub(crate) trait OverTcp {
    /// Asks about the socket; `None` where there is none.
    fn ask<T>(&self, question: fn(&TcpStream) -> T) -> Option<T>;

    /// The error of the connection, such as a reset, which is told without reading what came before
    /// it. Told once.
    fn error(&self) -> Option<std::io::Error> {
        self.ask(|socket| socket.take_error().unwrap_or_else(Some)).flatten()
    }

    /// True where bytes lie in the system that were not read, or the end or an error of the
    /// connection.
    fn has_arrivals(&self) -> bool {
        self.ask(|socket| is_ready(socket, Way::In)).unwrap_or(false)
    }

    /// True where the system takes bytes, or tells an error of the connection instead.
    fn takes_bytes(&self) -> bool {
        self.ask(|socket| is_ready(socket, Way::Out)).unwrap_or(false)
    }
}

impl OverTcp for TcpStream {
    fn ask<T>(&self, question: fn(&TcpStream) -> T) -> Option<T> {
        Some(question(self))
    }
}

impl OverTcp for ReadHalf<'_> {
    fn ask<T>(&self, question: fn(&TcpStream) -> T) -> Option<T> {
        Some(question(self.as_ref()))
    }
}

impl OverTcp for WriteHalf<'_> {
    fn ask<T>(&self, question: fn(&TcpStream) -> T) -> Option<T> {
        Some(question(self.as_ref()))
    }
}

impl OverTcp for Connect<TcpStream> {
    fn ask<T>(&self, question: fn(&TcpStream) -> T) -> Option<T> {
        self.get_ref().map(question)
    }
}

/// The way of bytes.
#[derive(Debug, Clone, Copy)]
enum Way {
    In,
    Out,
}

#[cfg(unix)]
fn is_ready(socket: &TcpStream, way: Way) -> bool {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let flags = match way {
        Way::In => PollFlags::POLLIN,
        Way::Out => PollFlags::POLLOUT,
    };
    // Does not wait. The end of the connection and its errors are reported unasked.
    poll(&mut [PollFd::new(socket.as_fd(), flags)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Elsewhere what arrived is seen without taking it out; how much room there is, is not told.
#[cfg(not(unix))]
fn is_ready(socket: &TcpStream, way: Way) -> bool {
    let seen = || socket2::SockRef::from(socket).peek(&mut [std::mem::MaybeUninit::uninit()]);
    match way {
        Way::In => !seen().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        Way::Out => false,
    }
}

/// The time is over, and the other side was silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent;

/// The deadline of one or several steps over a socket. Where a step finds it passed, the socket is
/// asked; what moves there begins the time anew, once.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    /// None before the first wait.
    at: Option<Instant>,
    /// The time has begun anew, and does not once more.
    is_last_time: bool,
    /// Bytes that have moved since the time began.
    bytes: usize,
}

impl Deadline {
    /// A deadline that is counted from now.
    pub(crate) fn from_now(limit: Duration) -> Self {
        Self { at: Some(Instant::now() + limit), ..Self::from_first_wait(limit) }
    }

    /// A deadline that is counted from the first step that has to wait: others need no clock.
    pub(crate) const fn from_first_wait(limit: Duration) -> Self {
        Self { limit, at: None, is_last_time: false, bytes: 0 }
    }

    /// Counts bytes that a step has moved. [`PROGRESS_MIN`] of them begin the time anew with the
    /// next wait, however often.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= PROGRESS_MIN {
            *self = Self::from_first_wait(self.limit);
        }
    }

    /// Begins the time anew, where that has not been done yet.
    fn begin_anew(&mut self) -> bool {
        let may = !std::mem::replace(&mut self.is_last_time, true);
        if may {
            self.at = Some(Instant::now() + self.limit);
        }
        may
    }

    /// Polls a step until it ends, or the deadline has passed and nothing `moves`. What moves when
    /// the deadline has passed begins the time anew, and so does a step that ends after it, for the
    /// steps behind it; both together once. Cancel safe where the step is.
    ///
    /// # Errors
    /// Where the other side was silent.
    pub(crate) async fn watch<S: ?Sized, T>(
        &mut self,
        subject: &mut S,
        mut step: impl FnMut(&mut S, &mut Context<'_>) -> Poll<T>,
        moves: impl Fn(&S) -> bool,
    ) -> Result<T, Silent> {
        if self.at.is_none()
            && let Poll::Ready(done) = poll_fn(|context| Poll::Ready(step(subject, context))).await
        {
            return Ok(done);
        }
        let mut alarm = pin!(sleep_until(self.due()));
        poll_fn(|context| {
            loop {
                let is_late = Instant::now() >= self.due();
                // Asked before the step, which takes in what it finds, and after it.
                let has_moved = is_late && moves(subject);
                if let Poll::Ready(done) = step(subject, context) {
                    if Instant::now() >= self.due() {
                        self.begin_anew();
                    }
                    return Poll::Ready(Ok(done));
                }
                if is_late && !((has_moved || moves(subject)) && self.begin_anew()) {
                    return Poll::Ready(Err(Silent));
                }
                alarm.as_mut().reset(self.due());
                if alarm.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                // The deadline has passed since this round began, so it is not known what has moved
                // before the step: the process may have been stopped here.
                if !is_late {
                    self.begin_anew();
                }
            }
        })
        .await
    }

    /// When the time is over; it begins now where it has not begun.
    fn due(&mut self) -> Instant {
        let limit = self.limit;
        *self.at.get_or_insert_with(|| Instant::now() + limit)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio::io::AsyncReadExt;

    use super::*;

    /// A connected pair: ours, and the other side's.
    async fn pair() -> (TcpStream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().unwrap().0)
    }

    async fn read(deadline: &mut Deadline, stream: &mut TcpStream) -> Result<u8, Silent> {
        let step = |stream: &mut TcpStream, context: &mut Context<'_>| {
            pin!(stream.read_u8()).poll(context).map(Result::unwrap)
        };
        deadline.watch(stream, step, TcpStream::has_arrivals).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_now_and_then_begins_the_time_anew_once_and_much_that_moves_ever_again() {
        let limit = Duration::from_secs(30);
        let begun = Instant::now();
        let mut deadline = Deadline::from_now(limit);
        let never = |_: &mut (), _: &mut Context<'_>| Poll::<()>::Pending;
        let mut nothing = ();
        let waited = deadline.watch(&mut nothing, never, |()| true);
        let waited = tokio::time::timeout(100 * limit, waited).await;
        assert_eq!(waited, Ok(Err(Silent)));
        assert_eq!(begun.elapsed().as_secs(), 2 * limit.as_secs());
        for (bytes, expected) in [(4 << 10, Err(Silent)), (PROGRESS_MIN, Ok(()))] {
            let mut deadline = Deadline::from_first_wait(limit);
            let mut ended = Ok(());
            for _ in 0..100 {
                let mut next = Box::pin(tokio::time::sleep(limit - Duration::from_secs(1)));
                let step = |_: &mut (), context: &mut Context<'_>| next.as_mut().poll(context);
                ended = ended.and(deadline.watch(&mut (), step, |()| false).await);
                deadline.count(bytes);
            }
            assert_eq!(ended, expected, "{bytes} bytes at a time");
        }
    }

    /// Waits until the bytes that the other side has written are here, as a stopped process does.
    fn stop_until_arrived(stream: &TcpStream) {
        while !stream.has_arrivals() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn bytes_that_tokio_does_not_know_of_begin_the_time_anew() {
        let (mut ours, mut other) = pair().await;
        let limit = Duration::from_millis(20);
        for byte in 0..50 {
            let mut deadline = Deadline::from_now(limit);
            // Tokio learns that nothing is there.
            assert!(
                tokio::time::timeout(Duration::ZERO, read(&mut deadline, &mut ours)).await.is_err()
            );
            other.write_all(&[byte]).unwrap();
            stop_until_arrived(&ours);
            std::thread::sleep(limit);
            assert_eq!(read(&mut deadline, &mut ours).await, Ok(byte));
            assert!(deadline.at.unwrap() > Instant::now(), "the next step has its time");
        }
        drop(other);
        let mut deadline = Deadline::from_now(Duration::ZERO);
        let step = |stream: &mut TcpStream, context: &mut Context<'_>| {
            pin!(stream.read_u8()).poll(context).map(|read| read.map_err(|error| error.kind()))
        };
        assert_eq!(
            deadline.watch(&mut ours, step, TcpStream::has_arrivals).await,
            Ok(Err(std::io::ErrorKind::UnexpectedEof)),
            "an end has arrived, too"
        );
    }

    #[tokio::test]
    async fn where_nothing_is_there_the_other_side_was_silent() {
        let (mut ours, mut other) = pair().await;
        let mut deadline = Deadline::from_now(Duration::from_millis(1));
        assert_eq!(read(&mut deadline, &mut ours).await, Err(Silent));
        assert!(ours.takes_bytes());
        let chunk = vec![0; 1 << 20];
        let write = |stream: &mut TcpStream, context: &mut Context<'_>| {
            tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(stream), context, &chunk)
        };
        let written = loop {
            let mut deadline = Deadline::from_first_wait(Duration::from_millis(20));
            match deadline.watch(&mut ours, write, TcpStream::takes_bytes).await {
                Ok(count) => assert!(count.unwrap() > 0),
                Err(silent) => break silent,
            }
        };
        assert_eq!(written, Silent, "the system takes no more");
        // Room that Tokio does not know of.
        let mut deadline = Deadline::from_now(Duration::from_millis(1));
        let reading = std::thread::spawn(move || {
            let mut sink = vec![0; 1 << 20];
            while other.read(&mut sink).unwrap() > 0 {}
        });
        while !ours.takes_bytes() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(1));
        assert!(deadline.watch(&mut ours, write, TcpStream::takes_bytes).await.is_ok());
        drop(ours);
        reading.join().unwrap();
    }
}
