//! Which jobs have reached the client: a reply is on its way until the client's system has
//! acknowledged its last byte.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;

use crate::machine::Reservation;
use crate::shared_io::SharedIo;

/// The jobs in what was handed to the system for one connection that may not have arrived.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    io: SharedIo<'a>,
    /// Bytes go out as they are. By TLS it is only known where a group of replies ends, once it has
    /// been written.
    is_plain: bool,
    /// Where each reply ends in the stream of bytes; [`UNWRITTEN`] where that is not known yet.
    on_the_way: VecDeque<(u64, Reservation)>,
}

/// From so many on, it is looked up which have arrived.
const PRUNE_FROM: usize = 64;
const UNWRITTEN: u64 = u64::MAX;

impl<'a> Delivery<'a> {
    pub(crate) const fn new(io: SharedIo<'a>, is_plain: bool) -> Self {
        Self { io, is_plain, on_the_way: VecDeque::new() }
    }

    fn written(&self) -> u64 {
        self.io.written.load(Ordering::Relaxed)
    }

    /// A reply with a job ends `ahead` bytes after what has been written so far.
    pub(crate) fn expect(&mut self, ahead: usize, reservation: Reservation) {
        let end = if self.is_plain { self.written() + ahead as u64 } else { UNWRITTEN };
        self.on_the_way.push_back((end, reservation));
    }

    /// The system took some bytes more.
    pub(crate) fn wrote(&mut self) {
        if self.on_the_way.len() >= PRUNE_FROM {
            self.forget_arrived();
        }
    }

    /// All that was expected has been written.
    pub(crate) fn flushed(&mut self) {
        let end = self.written();
        for (unwritten, _) in
            self.on_the_way.iter_mut().rev().take_while(|(end, _)| *end == UNWRITTEN)
        {
            *unwritten = end;
        }
    }

    fn forget_arrived(&mut self) {
        let arrived = self.written().saturating_sub(unacknowledged(self.io.stream));
        while self.on_the_way.front().is_some_and(|(end, _)| *end <= arrived) {
            self.on_the_way.pop_front();
        }
    }

    /// True where nothing is on its way any more.
    pub(crate) fn all_arrived(&mut self) -> bool {
        if !self.on_the_way.is_empty() {
            self.forget_arrived();
        }
        self.on_the_way.is_empty()
    }

    /// The jobs that did not arrive whole, or whose arrival has not been acknowledged, oldest
    /// first.
    pub(crate) fn undelivered(mut self) -> Vec<Reservation> {
        self.forget_arrived();
        self.on_the_way.into_iter().map(|(_, reservation)| reservation.perhaps_arrived()).collect()
    }
}

/// Bytes written to the socket that the other side's system has not acknowledged; they stay counted
/// after a reset.
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

/// Where the system does not tell, what was written counts as delivered: such a job comes back when
/// its reservation ends.
#[cfg(not(target_os = "linux"))]
fn unacknowledged(_: &TcpStream) -> u64 {
    0
}
