//! One connection of a raw load.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::QUEUE;
use super::answers::{self, Answer};
use super::commands::{Commands, Destination, fetch};
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
    fetch: Vec<u8>,
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
            RawWork::FetchAck | RawWork::Cycle => format!(
                "HELLO {{\"wid\":\"{run:016x}{number:08x}\",\"hostname\":\"raw\",\"pid\":1,\
                 \"labels\":[],\"v\":2}}\r\n"
            ),
            RawWork::Push | RawWork::PushBatch(_) => "HELLO {\"v\":2}\r\n".to_owned(),
        };
        stream.write_all(hello.as_bytes()).await?;
        read_line(&mut stream, &mut input).await?;
        ensure!(input == b"+OK\r\n", "HELLO is refused: {}", String::from_utf8_lossy(&input));
        let to = destination(order, number);
        let commands = Commands::new((order.work, &to), run, number, order.depth);
        let (stream, fetch) = (stream.into_std()?, fetch(&to.queue));
        Ok(Self { stream, work: order.work, depth: order.depth, commands, fetch })
    }

    /// Sends commands as long as the window grants them, and waits for all answers.
    pub(super) async fn run(mut self, window: Rc<Window>) -> anyhow::Result<Tally> {
        let mut stream = TcpStream::from_std(self.stream)?;
        let mut progress = Progress::new(self.work, self.fetch);
        let mut input = Vec::with_capacity(2 * READ);
        let mut free = self.depth;
        loop {
            let now = now_us();
            let granted = window.grant(free, self.work.jobs(), now);
            free = 0;
            progress.sends(granted, now);
            // A long PUSHB is sent from where it lies.
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

/// The queue of a connection, and the time of its jobs where they are scheduled.
fn destination(order: &RawOrder, number: u32) -> Destination {
    let queue = match number as usize % order.queues.max(1) {
        0 => QUEUE.to_owned(),
        other => format!("queue-{other}"),
    };
    let at = order.due.map(|due| {
        let within =
            Duration::from_secs(1) * number / u32::try_from(order.connections).unwrap_or(1);
        let at = chrono::DateTime::<chrono::Utc>::from(due + within);
        at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
    });
    Destination { queue, at }
}

/// Reads one line of a handshake, in which the work server never sends more.
async fn read_line(stream: &mut TcpStream, line: &mut Vec<u8>) -> anyhow::Result<()> {
    line.clear();
    while !line.ends_with(b"\n") {
        ensure!(stream.read_buf(line).await? > 0, "the work server closed the connection");
    }
    Ok(())
}

/// A command whose answer is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Push { jobs: u64 },
    Fetch,
    Ack,
}

/// Commands that were sent together, of one kind.
struct Group {
    sent: Sent,
    at: u64,
    /// Those that are not answered yet.
    count: usize,
}

/// The commands in flight on a connection, and what came of the others.
struct Progress {
    work: RawWork,
    tally: Tally,
    in_flight: usize,
    groups: VecDeque<Group>,
    /// ACKs and FETCHes that are to be sent, and their numbers.
    output: Vec<u8>,
    acks: usize,
    fetches: usize,
    fetch: Vec<u8>,
}

impl Progress {
    fn new(work: RawWork, fetch: Vec<u8>) -> Self {
        Self {
            work,
            tally: Tally::default(),
            in_flight: 0,
            groups: VecDeque::new(),
            output: Vec::new(),
            acks: 0,
            fetches: 0,
            fetch,
        }
    }

    /// Notes that commands are sent, after the ACKs and FETCHes in the output.
    fn sends(&mut self, commands: usize, now: u64) {
        self.output.extend(std::iter::repeat_n(&self.fetch, self.fetches).flatten());
        let command = match self.work {
            RawWork::FetchAck => Sent::Fetch,
            RawWork::Push | RawWork::PushBatch(_) | RawWork::Cycle => {
                Sent::Push { jobs: self.work.jobs() }
            }
        };
        let (acks, fetches) = (std::mem::take(&mut self.acks), std::mem::take(&mut self.fetches));
        for (sent, count) in [(Sent::Ack, acks), (Sent::Fetch, fetches), (command, commands)] {
            if count > 0 {
                self.in_flight += count;
                self.groups.push_back(Group { sent, at: now, count });
            }
        }
    }

    /// Takes an answer; returns the number of new commands that it makes room for.
    fn take(&mut self, answer: &Answer<'_>, now: u64, window: &Window) -> anyhow::Result<usize> {
        let group = self.groups.front_mut().context("one answer too many")?;
        let (sent, at) = (group.sent, group.at);
        group.count -= 1;
        if group.count == 0 {
            self.groups.pop_front();
        }
        self.in_flight -= 1;
        let done = match (sent, answer) {
            (Sent::Push { jobs: 1 }, Answer::Done) if self.work == RawWork::Cycle => {
                self.fetches += 1;
                0
            }
            (Sent::Push { jobs: jobs @ 1 }, Answer::Done)
            | (Sent::Push { jobs }, Answer::Bulk(b"{}")) => jobs,
            (Sent::Fetch, Answer::Bulk(job)) => {
                self.output.extend_from_slice(b"ACK {\"jid\":\"");
                self.output.extend_from_slice(answers::id(job)?);
                self.output.extend_from_slice(b"\"}\r\n");
                self.acks += 1;
                0
            }
            (Sent::Ack, Answer::Done) => 1,
            (sent, answer) => bail!("{sent:?} was answered with {answer:?}"),
        };
        if window.contains(now) {
            self.tally.measured += done;
            self.tally.latencies.record(now.saturating_sub(at));
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
        let mut progress = Progress::new(RawWork::FetchAck, fetch("q"));
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
        let mut progress = Progress::new(RawWork::PushBatch(100), fetch("q"));
        progress.sends(2, 0);
        assert_eq!(progress.take(&Answer::Bulk(b"{}"), 1, &window).unwrap(), 1);
        assert_eq!(progress.tally.measured, 100);
        assert!(progress.take(&Answer::Bulk(br#"{"a":"no"}"#), 1, &window).is_err());
    }

    #[test]
    fn a_cycle_pushes_fetches_and_acknowledges_one_job() {
        let window = Window::new(0, 100, u64::MAX, Arc::default());
        let mut progress = Progress::new(RawWork::Cycle, fetch("q"));
        progress.sends(1, 0);
        assert_eq!(progress.take(&Answer::Done, 1, &window).unwrap(), 0);
        progress.sends(0, 1);
        assert_eq!(progress.output, b"FETCH q\r\n");
        progress.output.clear();
        assert_eq!(progress.take(&Answer::Bulk(br#"{"jid":"a"}"#), 2, &window).unwrap(), 0);
        progress.sends(0, 2);
        assert_eq!(progress.output, b"ACK {\"jid\":\"a\"}\r\n");
        assert_eq!(progress.take(&Answer::Done, 3, &window).unwrap(), 1);
        assert_eq!((progress.in_flight, progress.tally.measured), (0, 1));
    }
}
