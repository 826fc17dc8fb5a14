//! One connection of a raw load.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};

use super::answers::{self, Answer};
use super::commands::Commands;
use super::window::Window;
use crate::measure::Latencies;
use crate::part::clock::now_us;
use crate::part::order::{RawOrder, RawWork};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The bytes that are read at once.
const READ: usize = 64 << 10;

/// A connection after its handshake. The socket belongs to no runtime until the load begins.
pub(super) struct Lane {
    stream: std::net::TcpStream,
    work: RawWork,
    depth: usize,
    commands: Commands,
}

/// The outcome of a connection, or of several.
#[derive(Default)]
pub(super) struct Tally {
    /// Jobs answered, warm-up included.
    pub(super) jobs: u64,
    /// Jobs answered within the measured time.
    pub(super) measured: u64,
    /// From the time at which a command was sent to its answer, for answers within the measured
    /// time.
    pub(super) latencies: Latencies,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.jobs += other.jobs;
        self.measured += other.measured;
        self.latencies.add(&other.latencies);
    }
}

impl Lane {
    pub(super) async fn connect(order: &RawOrder, run: u64, number: u32) -> anyhow::Result<Self> {
        let address: SocketAddr = (order.server.host.as_str(), order.server.port)
            .to_socket_addrs()?
            .next()
            .context("the work server has no address")?;
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut input = Vec::new();
        read_line(&mut stream, &mut input).await?;
        ensure!(input.starts_with(b"+HI {"), "the work server does not greet as Faktory does");
        let hello = match order.work {
            RawWork::FetchAck => format!(
                "HELLO {{\"wid\":\"{run:016x}{number:08x}\",\"hostname\":\"raw\",\"pid\":1,\
                 \"labels\":[],\"v\":2}}\r\n"
            ),
            RawWork::Push | RawWork::PushBatch(_) => "HELLO {\"v\":2}\r\n".to_owned(),
        };
        stream.write_all(hello.as_bytes()).await?;
        read_line(&mut stream, &mut input).await?;
        ensure!(input == b"+OK\r\n", "HELLO is refused: {}", String::from_utf8_lossy(&input));
        let commands = Commands::new(order.work, run, number, order.depth);
        Ok(Self { stream: stream.into_std()?, work: order.work, depth: order.depth, commands })
    }

    /// Sends commands as long as the window grants them, and waits for all answers.
    pub(super) async fn run(mut self, window: Rc<Window>) -> anyhow::Result<Tally> {
        let mut stream = TcpStream::from_std(self.stream)?;
        let mut progress = Progress::new(self.work);
        let mut input = Vec::with_capacity(2 * READ);
        let mut free = self.depth;
        loop {
            let now = now_us();
            let granted = window.grant(free, self.work.jobs(), now);
            free = 0;
            progress.sends(granted, now);
            if progress.output.is_empty() {
                stream.write_all(self.commands.next(granted)).await?;
            } else {
                progress.output.extend_from_slice(self.commands.next(granted));
                stream.write_all(&progress.output).await?;
                progress.output.clear();
            }
            if progress.in_flight == 0 {
                return Ok(progress.tally);
            }
            input.reserve(READ);
            ensure!(stream.read_buf(&mut input).await? > 0, "the work server closed a connection");
            let now = now_us();
            let mut seen = 0;
            while let Some((answer, length)) =
                answers::first(input.get(seen..).unwrap_or_default())?
            {
                free += progress.take(&answer, now, &window)?;
                seen += length;
            }
            input.drain(..seen);
        }
    }
}

/// Reads one line of a handshake, in which the work server never sends more.
async fn read_line(stream: &mut TcpStream, line: &mut Vec<u8>) -> anyhow::Result<()> {
    line.clear();
    while !line.ends_with(b"\n") {
        ensure!(stream.read_buf(line).await? > 0, "the work server closed the connection");
    }
    Ok(())
}

/// The commands in flight on a connection, and what came of the others.
struct Progress {
    work: RawWork,
    tally: Tally,
    in_flight: usize,
    /// When commands were sent, and how many of them are not answered yet.
    sent: VecDeque<(u64, usize)>,
    /// ACKs that are to be sent.
    output: Vec<u8>,
    acks: usize,
}

impl Progress {
    fn new(work: RawWork) -> Self {
        let (tally, sent, output) = (Tally::default(), VecDeque::new(), Vec::new());
        Self { work, tally, in_flight: 0, sent, output, acks: 0 }
    }

    /// Notes that commands are sent, with the ACKs before them.
    fn sends(&mut self, commands: usize, now: u64) {
        let count = commands + std::mem::take(&mut self.acks);
        if count > 0 {
            self.in_flight += count;
            self.sent.push_back((now, count));
        }
    }

    /// Takes an answer; returns the number of commands that may take its place.
    fn take(&mut self, answer: &Answer<'_>, now: u64, window: &Window) -> anyhow::Result<usize> {
        let done = match (self.work, answer) {
            (RawWork::Push | RawWork::FetchAck, Answer::Done)
            | (RawWork::PushBatch(_), Answer::Bulk(b"{}")) => self.work.jobs(),
            (RawWork::FetchAck, Answer::Bulk(job)) => {
                self.output.extend_from_slice(b"ACK {\"jid\":\"");
                self.output.extend_from_slice(answers::id(job)?);
                self.output.extend_from_slice(b"\"}\r\n");
                self.acks += 1;
                0
            }
            (work, answer) => bail!("{work:?} was answered with {answer:?}"),
        };
        self.in_flight = self.in_flight.checked_sub(1).context("one answer too many")?;
        let begun = self.sent.front_mut().context("one answer too many")?;
        begun.1 -= 1;
        let is_measured = window.contains(now);
        if is_measured {
            self.tally.measured += done;
            self.tally.latencies.record(now.saturating_sub(begun.0));
        }
        if begun.1 == 0 {
            self.sent.pop_front();
        }
        self.tally.jobs += done;
        Ok(usize::from(done > 0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_fetched_job_is_acknowledged_and_counts_with_its_acknowledgement() {
        let window = Window::new(0, 100, 10, Arc::default());
        let mut progress = Progress::new(RawWork::FetchAck);
        progress.sends(1, 10);
        let job = Answer::Bulk(br#"{"jid":"abc"}"#);
        assert_eq!(progress.take(&job, 20, &window).unwrap(), 0);
        assert_eq!(progress.output, b"ACK {\"jid\":\"abc\"}\r\n");
        progress.sends(0, 21);
        assert_eq!((progress.in_flight, progress.tally.jobs), (1, 0));
        assert_eq!(progress.take(&Answer::Done, 200, &window).unwrap(), 1);
        assert_eq!((progress.tally.jobs, progress.tally.measured), (1, 0), "after the time");
        assert!(progress.take(&Answer::Done, 200, &window).is_err());
    }

    #[test]
    fn a_batch_of_which_a_job_is_refused_fails_the_load() {
        let window = Window::new(0, 100, u64::MAX, Arc::default());
        let mut progress = Progress::new(RawWork::PushBatch(100));
        progress.sends(2, 0);
        assert_eq!(progress.take(&Answer::Bulk(b"{}"), 1, &window).unwrap(), 1);
        assert_eq!(progress.tally.measured, 100);
        assert!(progress.take(&Answer::Bulk(br#"{"a":"no"}"#), 1, &window).is_err());
    }
}
