//! The delivery of fetched jobs: a reply has arrived once the client's system has acknowledged its
//! last byte.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;

use crate::machine::Reservation;
use crate::shared_io::SharedIo;

/// The jobs of a connection whose replies were written and have not been seen to arrive.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    io: SharedIo<'a>,
    /// True without TLS, where the socket carries the bytes of a reply unchanged. With TLS, only
    /// the end of a group of replies is known, once the group has been written.
    is_plain: bool,
    /// For each job, the end of its reply in the stream of bytes; [`UNWRITTEN`] while the end is
    /// not known.
    in_flight: VecDeque<(u64, Reservation)>,
}

/// The number of jobs in flight from which the arrived ones are removed. Each removal is a system
/// call, so a smaller number would cost more.
const PRUNE_FROM: usize = 64;
const UNWRITTEN: u64 = u64::MAX;

/// The client's side of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientSide<'a>(&'a TcpStream);

impl ClientSide<'_> {
    /// True where the client has closed its side of the connection, or the connection is broken,
    /// also where bytes lie unread before that end.
    pub(crate) fn has_left(self) -> bool {
        has_ended(self.0)
    }
}

impl<'a> Delivery<'a> {
    pub(crate) const fn new(io: SharedIo<'a>, is_plain: bool) -> Self {
        Self { io, is_plain, in_flight: VecDeque::new() }
    }

    fn written(&self) -> u64 {
        self.io.written.load(Ordering::Relaxed)
    }

    /// The client, which can be asked for while replies are written.
    pub(crate) const fn client(&self) -> ClientSide<'a> {
        ClientSide(self.io.stream)
    }

    /// Notes the jobs of a reply that ends `ahead` bytes behind the bytes that have been written so
    /// far.
    pub(crate) fn expect(&mut self, ahead: usize, reservations: Vec<Reservation>) {
        let end = if self.is_plain { self.written() + ahead as u64 } else { UNWRITTEN };
        self.in_flight.extend(reservations.into_iter().map(|reservation| (end, reservation)));
    }

    /// Notes that the system has accepted more bytes.
    pub(crate) fn wrote(&mut self) {
        if self.in_flight.len() >= PRUNE_FROM {
            self.forget_arrived();
        }
    }

    /// Notes that all expected replies have been written.
    pub(crate) fn flushed(&mut self) {
        let end = self.written();
        for (unwritten, _) in
            self.in_flight.iter_mut().rev().take_while(|(end, _)| *end == UNWRITTEN)
        {
            *unwritten = end;
        }
    }

    fn forget_arrived(&mut self) {
        let arrived = self.written().saturating_sub(unacknowledged(self.io.stream));
        while self.in_flight.front().is_some_and(|(end, _)| *end <= arrived) {
            self.in_flight.pop_front();
        }
    }

    /// True where every reply with a job has arrived.
    pub(crate) fn all_arrived(&mut self) -> bool {
        if !self.in_flight.is_empty() {
            self.forget_arrived();
        }
        self.in_flight.is_empty()
    }

    /// The jobs whose replies have not been acknowledged to the last byte, oldest first.
    pub(crate) fn undelivered(mut self) -> Vec<Reservation> {
        self.forget_arrived();
        self.in_flight.into_iter().map(|(_, reservation)| reservation.perhaps_arrived()).collect()
    }
}

#[cfg(target_os = "linux")]
fn has_ended(stream: &TcpStream) -> bool {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let end = PollFlags::from_bits_retain(libc::POLLRDHUP);
    // Does not wait. A broken connection is reported unasked.
    poll(&mut [PollFd::new(stream.as_fd(), end)], PollTimeout::ZERO).is_ok_and(|ended| ended > 0)
}

/// Elsewhere an end behind unread bytes is not seen.
#[cfg(not(target_os = "linux"))]
fn has_ended(stream: &TcpStream) -> bool {
    let peeked = socket2::SockRef::from(stream).peek(&mut [std::mem::MaybeUninit::uninit()]);
    !matches!(peeked, Ok(1..))
        && !peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The number of bytes in the socket that the client's system has not acknowledged. The number
/// stays after a reset.
#[cfg(target_os = "linux")]
fn unacknowledged(stream: &TcpStream) -> u64 {
    use std::os::fd::AsRawFd;
    let mut bytes: libc::c_int = 0;
    // TIOCOUTQ is SIOCOUTQ, tcp(7).
    #[expect(
        unsafe_code,
        reason = "no safe wrapper of this ioctl exists; it writes one int, into a place that \
                  outlives the call"
    )]
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Other systems do not report this number, so that written bytes count as delivered. A job that
/// did not arrive is then offered again when its reservation ends.
#[cfg(not(target_os = "linux"))]
fn unacknowledged(_: &TcpStream) -> u64 {
    0
}
