//! How a connection finds out that it has read all that had arrived when the core asked
//! (`catch_up.rs`).

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::catch_up::Asked;

/// The time in which a client that has more to send is given a round trip. The sender of a long
/// line waits for room in our receive buffer, and learns only from us that there is some.
const TICK: Duration = Duration::from_secs(1);
/// The most such times in a round, for a client that sends on and on.
const TICKS_MAX: u32 = 5;
/// After so many bytes, the sender's own buffer may hold more. Linux begins with a receive buffer
/// of 128 KiB, of which it offers a half at first.
const BACKED_UP: usize = 32 << 10;
/// After so many bytes, all that had been sent was read: Linux has at most 6 MiB in a receive
/// buffer and 4 MiB in a send buffer (tcp_rmem and tcp_wmem of tcp(7)).
const SENT_MAX: usize = 16 << 20;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Bytes from the client.
    Input {
        /// True where a part of a line has been read.
        unfinished: bool,
    },
    /// Room for what was read. Nothing more is read meanwhile.
    Room,
    /// A long line that is made a command on another thread. What came behind it is read after
    /// that, so the connection has not caught up before.
    Parsing,
}

/// An answer to the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) round: u64,
    /// A line has not arrived as a whole, and its client is sending it; or it is not parsed yet.
    pub(super) sends_on: bool,
}

/// The state of the round that is being answered.
pub(super) struct CatchingUp<'a> {
    asked: Asked,
    stream: &'a TcpStream,
    /// The round during which the client finished its handshake. What it had to say waited for
    /// that, and comes a round trip later.
    opened_in: Option<u64>,
    round: u64,
    read: usize,
    ticks: u32,
    tick: Instant,
    /// Something has happened since the last tick.
    moved: bool,
}

impl<'a> CatchingUp<'a> {
    pub(super) fn new(asked: Asked, stream: &'a TcpStream) -> Self {
        let opened_in = asked.unanswered();
        let tick = Instant::now();
        Self { asked, stream, opened_in, round: 0, read: 0, ticks: 0, tick, moved: false }
    }

    /// Notes bytes that were read, or room that was found.
    pub(super) const fn moved(&mut self, bytes: usize) {
        self.moved = true;
        self.read = self.read.saturating_add(bytes);
    }

    /// The answer of a connection whose client sends so much that a read never waits.
    pub(super) fn flooded(&mut self) -> Option<Answer> {
        let round = self.asked.unanswered()?;
        self.enter(round);
        (self.read >= SENT_MAX).then(|| self.answer(true))
    }

    /// Waits until the connection has caught up with a round, or can't. To be polled where reading,
    /// or the wait for room, has to wait. Cancel safe.
    pub(super) async fn done(&mut self, waits_for: WaitsFor) -> Answer {
        loop {
            let round = self.asked.next().await;
            self.enter(round);
            // Reading waits for the runtime's word that bytes have arrived. Only the system knows
            // whether that word is still to come.
            let reads = matches!(waits_for, WaitsFor::Input { .. });
            let may_read = reads && is_readable(self.stream);
            let at_end = waits_for == WaitsFor::Input { unfinished: false };
            let has_said_all = self.read < BACKED_UP && self.opened_in != Some(round);
            if at_end && !may_read && has_said_all {
                return self.answer(false);
            }
            tokio::time::sleep_until(self.tick).await;
            self.tick = Instant::now() + TICK;
            if reads && is_readable(self.stream) {
                continue;
            }
            let moved = std::mem::take(&mut self.moved) || waits_for == WaitsFor::Parsing;
            self.ticks += 1;
            if !moved || self.ticks >= TICKS_MAX {
                return self.answer(moved && !at_end);
            }
        }
    }

    /// Begins the state anew where the round is another one.
    fn enter(&mut self, round: u64) {
        if self.round != round {
            let tick = Instant::now() + TICK;
            (self.round, self.read, self.ticks, self.tick, self.moved) = (round, 0, 0, tick, false);
        }
    }

    fn answer(&mut self, sends_on: bool) -> Answer {
        self.asked.answered(self.round);
        Answer { round: self.round, sends_on }
    }
}

/// True where the socket holds bytes, its end, or an error, whatever the runtime knows of it.
pub(super) fn is_readable(stream: &TcpStream) -> bool {
    let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}
