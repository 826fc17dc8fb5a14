//! Which jobs have reached the client: a reply is on its way until the client's system has acknowledged its last byte.

use std::collections::VecDeque;

use tokio::net::TcpStream;

use crate::machine::Reservation;

/// Bytes handed to the system for one connection, and the jobs in them that may not have arrived.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    written: u64,
    /// Where each reply ends in the stream of bytes.
    on_the_way: VecDeque<(u64, Reservation)>,
}

/// From so many on, it is looked up which have arrived.
const PRUNE_FROM: usize = 64;

impl Delivery {
    /// A reply with a job ends `ahead` bytes after what has been written so far.
    pub(crate) fn expect(&mut self, ahead: usize, reservation: Reservation) {
        self.on_the_way.push_back((self.written + ahead as u64, reservation));
    }

    /// The system took so many bytes more.
    pub(crate) fn wrote(&mut self, bytes: usize, stream: &TcpStream) {
        self.written += bytes as u64;
        if self.on_the_way.len() >= PRUNE_FROM {
            self.forget_arrived(unacknowledged(stream));
        }
    }

    fn forget_arrived(&mut self, unacknowledged: u64) {
        let arrived = self.written.saturating_sub(unacknowledged);
        while self.on_the_way.front().is_some_and(|(end, _)| *end <= arrived) {
            self.on_the_way.pop_front();
        }
    }

    /// True where nothing is on its way any more.
    pub(crate) fn all_arrived(&mut self, stream: &TcpStream) -> bool {
        if !self.on_the_way.is_empty() {
            self.forget_arrived(unacknowledged(stream));
        }
        self.on_the_way.is_empty()
    }

    /// The jobs that did not arrive whole, or whose arrival has not been acknowledged, oldest first.
    pub(crate) fn undelivered(mut self, stream: &TcpStream) -> Vec<Reservation> {
        self.forget_arrived(unacknowledged(stream));
        self.on_the_way.into_iter().map(|(_, reservation)| reservation.perhaps_arrived()).collect()
    }
}

/// Bytes written to the socket that the other side's system has not acknowledged; they stay counted after a reset.
#[cfg(target_os = "linux")]
fn unacknowledged(stream: &TcpStream) -> u64 {
    use std::os::fd::AsRawFd;
    let mut bytes: libc::c_int = 0;
    // TIOCOUTQ is SIOCOUTQ, tcp(7).
    #[expect(unsafe_code, reason = "no safe wrapper of this ioctl exists; it writes one int, into a place that outlives the call")]
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Where the system does not tell, what was written counts as delivered: such a job comes back when its reservation ends.
#[cfg(not(target_os = "linux"))]
fn unacknowledged(_: &TcpStream) -> u64 {
    0
}
