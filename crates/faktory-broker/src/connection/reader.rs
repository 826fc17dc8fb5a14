//! The reading side of a connection: lines become commands, and commands go to the core.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use faktory_wire::{Command, CommandError, LineDecoder};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use super::catching_up::{Answer, CatchingUp, WaitsFor};
use super::line_memory::LineMemory;
use super::patience::in_steps;
use super::tls;
use super::window::{Takes, Window};
use crate::command_memory::{self, ConnectionMemory};
use crate::core::{Event, Request};
use crate::machine::ConnectionId;
use crate::turned_away::{MEMORY_VARIABLE, TurnedAway};

/// The longest wait for memory for a long line.
const MEMORY_WAIT: Duration = Duration::from_secs(20);

/// The most commands that are told to the core at once, and the bytes of lines from which on they
/// are: other connections have their turn in between.
const TOLD_MAX: usize = 16;
const TOLD_BYTES: usize = 64 << 10;

/// The answer to a large command that got no memory in time.
const NO_MEMORY: &str = "too many large commands at once; try again later";

/// How the input of a connection ended.
pub(super) enum InputEnd {
    /// The client closed its side.
    Closed,
    /// The connection is broken, or the core is gone.
    Broken,
}

/// Whether more lines can be read after those that have arrived.
enum Next {
    Line,
    /// A line was refused, so the beginning of the next line is unknown.
    Unknown,
    /// The client closed its side.
    End,
}

/// The core is gone, or the connection ends.
struct Stopped;

/// A reader of commands.
pub(super) struct CommandReader<'a> {
    pub(super) answers: Answers<'a>,
    pub(super) decoder: LineDecoder,
    pub(super) window: Window,
    /// At first, the bytes that came behind the HELLO.
    pub(super) buffer: BytesMut,
    pub(super) memory: LineMemory,
    pub(super) command_memory: ConnectionMemory,
    pub(super) untold: Untold,
    pub(super) stream: &'a TcpStream,
    pub(super) turned_away: &'a TurnedAway,
}

/// Commands that were taken in and that the core has not been told of. There are none while the
/// reader waits for anything else.
#[derive(Default)]
pub(super) struct Untold {
    requests: Vec<Request>,
    /// The bytes of their lines.
    bytes: usize,
}

/// What a connection tells the core of its catching up.
pub(super) struct Answers<'a> {
    pub(super) connection: ConnectionId,
    pub(super) core: &'a flume::Sender<Event>,
    pub(super) catching_up: CatchingUp<'a>,
}

impl Answers<'_> {
    /// The output of `work`, before which nothing can be read. Where it takes too long, the core is
    /// answered meanwhile.
    async fn give_during<T>(
        &mut self,
        work: impl Future<Output = T>,
        waits_for: WaitsFor,
    ) -> Result<T, Stopped> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => {
                    self.catching_up.moved(0);
                    return Ok(output);
                }
                answer = self.catching_up.done(waits_for) => self.give(answer).await?,
            }
        }
    }

    async fn give(&self, Answer { round, sends_on }: Answer) -> Result<(), Stopped> {
        let event = Event::CaughtUp { connection: self.connection, round, sends_on };
        self.core.send_async(event).await.map_err(|_| Stopped)
    }
}

impl CommandReader<'_> {
    /// Reads until the input ends. After a line that is refused this never returns: the connection
    /// ends when its replies have been written.
    pub(super) async fn run(mut self, reader: &mut (impl AsyncRead + Unpin)) -> InputEnd {
        loop {
            let next = match self.forward_lines().await {
                Ok(Next::Line) => self.read(reader).await,
                next => next,
            };
            match next {
                Ok(Next::Line) => {}
                Ok(Next::Unknown) => return std::future::pending().await,
                Ok(Next::End) => return self.end_of_input().await,
                Err(Stopped) => return InputEnd::Broken,
            }
        }
    }

    /// Reads what has arrived, and answers the core where it has asked.
    async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<Next, Stopped> {
        if let Some(answer) = self.answers.catching_up.flooded() {
            self.answers.give(answer).await?;
        }
        let Some(most) = self.make_room().await? else {
            return self.refuse("too many commands arrive at once for").await;
        };
        let read_bytes = self.buffer.len();
        let waits_for = WaitsFor::Input { unfinished: read_bytes > 0 };
        let mut room = (&mut self.buffer).limit(most);
        tokio::select! {
            biased;
            read = reader.read_buf(&mut room) => match tls::end_without_close_notify(read) {
                Ok(0) => return Ok(Next::End),
                Ok(count) => self.answers.catching_up.moved(count),
                Err(_) => return Err(Stopped),
            },
            answer = self.answers.catching_up.done(waits_for) => self.answers.give(answer).await?,
            () = self.memory.is_too_slow(self.stream, read_bytes) => {
                return self.refuse("the command arrives too slowly while others wait for").await;
            }
        }
        Ok(Next::Line)
    }

    /// Makes room for a read, and returns its size; `None` where there was no memory in time.
    async fn make_room(&mut self) -> Result<Option<usize>, Stopped> {
        if self.memory.is_granted(self.buffer.len()) {
            return Ok(Some(self.memory.make_room(&mut self.buffer).await));
        }
        let making = self.memory.make_room(&mut self.buffer);
        let making = async { in_steps(MEMORY_WAIT, std::pin::pin!(making)).await };
        self.answers.give_during(making, WaitsFor::Room).await
    }

    /// Answers a command whose rest is not read, and ends the connection.
    async fn refuse(&mut self, why: &str) -> Result<Next, Stopped> {
        let budget = self.memory.budget().clone();
        self.buffer = BytesMut::new();
        self.memory.line_is_done(&mut self.buffer);
        self.turned_away.note_arriving_command(&budget);
        self.end_with(CommandError::new(format!("{why} {MEMORY_VARIABLE}; try again later"))).await
    }

    async fn end_with(&mut self, error: CommandError) -> Result<Next, Stopped> {
        self.send(Err(error)).await?;
        self.send(Ok(Command::End)).await?;
        self.tell(Event::InputEnded { connection: self.answers.connection }).await?;
        Ok(Next::Unknown)
    }

    /// Sends every whole line in the buffer to the core.
    async fn forward_lines(&mut self) -> Result<Next, Stopped> {
        loop {
            match self.decoder.decode(&mut self.buffer) {
                Ok(None) => {
                    self.tell_all().await?;
                    return Ok(Next::Line);
                }
                Ok(Some(line)) => {
                    let bytes = line.len();
                    let request = match self.take_in_at_once(&line) {
                        Some(request) => request,
                        None => {
                            self.tell_all().await?;
                            self.take_in(line).await?
                        }
                    };
                    self.untold.requests.push(request);
                    self.untold.bytes += bytes;
                    if self.untold.requests.len() >= TOLD_MAX || self.untold.bytes >= TOLD_BYTES {
                        self.tell_all().await?;
                    }
                }
                Err(error) => {
                    self.tell_all().await?;
                    self.buffer = BytesMut::new();
                    self.memory.line_is_done(&mut self.buffer);
                    return self.end_with(CommandError::from(error)).await;
                }
            }
        }
    }

    /// Makes a command of a short line, where the window and the connection's own memory have room
    /// for it now.
    fn take_in_at_once(&mut self, line: &Bytes) -> Option<Request> {
        if command_memory::is_long(line) {
            return None;
        }
        let reserved = self.command_memory.try_own(command_memory::bytes_of(line))?;
        if !self.window.enter_at_once(line) {
            return None;
        }
        let command = Command::parse(line);
        self.note(&command);
        Some(Request { command, reserved: Some(reserved) })
    }

    /// Notes what a line was, which is no longer needed.
    fn note(&mut self, command: &Result<Command, CommandError>) {
        self.memory.line_is_done(&mut self.buffer);
        if let Ok(command) = command {
            self.window.note(command);
        }
    }

    /// Makes a command of a line, once there is room in the window and memory for it. A command
    /// that waits for its client to read replies holds no memory. While it waits, the core is
    /// answered where it has asked.
    async fn take_in(&mut self, line: Bytes) -> Result<Request, Stopped> {
        let bytes = command_memory::bytes_of(&line);
        let own = self.command_memory.try_own(bytes);
        let takes = match &own {
            Some(_) => Takes::Own,
            None if ConnectionMemory::is_large(bytes) => Takes::SharedOnly,
            None => Takes::Shared,
        };
        let entering = async {
            self.window.enter(&line, takes).await.map_err(|_| Stopped)?;
            if own.is_some() {
                return Ok(Some(own));
            }
            let memory = std::pin::pin!(self.command_memory.reserve(bytes));
            Ok(in_steps(MEMORY_WAIT, memory).await)
        };
        let reserved = self.answers.give_during(entering, WaitsFor::Room).await??;
        let Some(reserved) = reserved else {
            drop(line);
            self.turned_away.note_unanswered_command();
            self.memory.line_is_done(&mut self.buffer);
            return Ok(Request { command: Err(CommandError::new(NO_MEMORY)), reserved: None });
        };
        let reserved = reserved.ok_or(Stopped)?;
        let parsing = self.command_memory.parse(line);
        let command = self.answers.give_during(parsing, WaitsFor::Parsing).await?;
        let command = command.ok_or(Stopped)?;
        self.note(&command);
        Ok(Request { command, reserved: Some(reserved) })
    }

    /// Tells the core of the commands that were taken in.
    async fn tell_all(&mut self) -> Result<(), Stopped> {
        let Untold { requests, .. } = std::mem::take(&mut self.untold);
        if requests.is_empty() {
            return Ok(());
        }
        self.tell(Event::Requests { connection: self.answers.connection, requests }).await
    }

    async fn send(&self, command: Result<Command, CommandError>) -> Result<(), Stopped> {
        let requests = vec![Request { command, reserved: None }];
        self.tell(Event::Requests { connection: self.answers.connection, requests }).await
    }

    async fn tell(&self, event: Event) -> Result<(), Stopped> {
        self.answers.core.send_async(event).await.map_err(|_| Stopped)
    }

    /// The core ends the connection when the commands before this have been answered.
    async fn end_of_input(&self) -> InputEnd {
        let ended = Event::InputEnded { connection: self.answers.connection };
        let told = self.tell(ended).await.is_ok() && self.send(Ok(Command::End)).await.is_ok();
        if told { InputEnd::Closed } else { InputEnd::Broken }
    }
}
