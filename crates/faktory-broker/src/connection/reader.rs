//! The reading side of a connection: lines become commands, and commands go to the core.

use bytes::BytesMut;
use faktory_wire::{Command, CommandError, LineDecoder};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::catching_up::{Answer, CatchingUp, WaitsFor};
use super::tls;
use super::window::{self, Window};
use crate::core::Event;
use crate::machine::ConnectionId;

/// The fewest free bytes of the buffer before a read. Where fewer bytes are free, the buffer is
/// enlarged.
const BUFFER_FREE_MIN: usize = 4 << 10;
/// The number of bytes by which the buffer is enlarged.
const BUFFER_GROWTH: usize = 16 << 10;

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
    /// A line was too long, so the beginning of the next line is unknown.
    Unknown,
}

/// The core is gone, or the connection ends.
struct Stopped;

/// A reader of commands.
pub(super) struct CommandReader<'a> {
    connection: ConnectionId,
    core: &'a flume::Sender<Event>,
    decoder: LineDecoder,
    window: Window,
    buffer: BytesMut,
    catching_up: CatchingUp<'a>,
}

impl<'a> CommandReader<'a> {
    /// `buffer` holds the bytes that came behind the HELLO.
    pub(super) const fn new(
        connection: ConnectionId,
        core: &'a flume::Sender<Event>,
        decoder: LineDecoder,
        window: Window,
        buffer: BytesMut,
        catching_up: CatchingUp<'a>,
    ) -> Self {
        Self { connection, core, decoder, window, buffer, catching_up }
    }

    /// Reads until the input ends. After a line that is too long this never returns: the connection
    /// ends when its replies have been written.
    pub(super) async fn run(mut self, reader: &mut (impl AsyncRead + Unpin)) -> InputEnd {
        loop {
            match self.forward_lines().await {
                Ok(Next::Line) => {}
                Ok(Next::Unknown) => return std::future::pending().await,
                Err(Stopped) => return InputEnd::Broken,
            }
            if let Some(answer) = self.catching_up.flooded()
                && self.caught_up(answer).await.is_err()
            {
                return InputEnd::Broken;
            }
            if self.buffer.capacity() - self.buffer.len() < BUFFER_FREE_MIN {
                self.buffer.reserve(BUFFER_GROWTH);
            }
            let waits_for = WaitsFor::Input { unfinished: !self.buffer.is_empty() };
            tokio::select! {
                biased;
                read = reader.read_buf(&mut self.buffer) => {
                    match tls::end_without_close_notify(read) {
                        Ok(0) => return self.end_of_input().await,
                        Ok(count) => self.catching_up.moved(count),
                        Err(_) => return InputEnd::Broken,
                    }
                }
                answer = self.catching_up.done(waits_for) => {
                    if self.caught_up(answer).await.is_err() {
                        return InputEnd::Broken;
                    }
                }
            }
        }
    }

    /// Sends every whole line in the buffer to the core.
    async fn forward_lines(&mut self) -> Result<Next, Stopped> {
        loop {
            match self.decoder.decode(&mut self.buffer) {
                Ok(None) => return Ok(Next::Line),
                Ok(Some(line)) => {
                    let request = Command::parse(&line);
                    let cost = window::cost(line.len(), &request);
                    self.enter_window(cost).await?;
                    self.send(request).await?;
                }
                Err(error) => {
                    self.send(Err(CommandError::from(error))).await?;
                    let _ = self.send(Ok(Command::End)).await;
                    self.tell(Event::InputEnded { connection: self.connection }).await?;
                    return Ok(Next::Unknown);
                }
            }
        }
    }

    async fn enter_window(&mut self, cost: u32) -> Result<(), Stopped> {
        let mut entering = std::pin::pin!(self.window.enter(cost));
        loop {
            tokio::select! {
                biased;
                entered = &mut entering => {
                    self.catching_up.moved(0);
                    return entered.map_err(|_| Stopped);
                }
                Answer { round, sends_on } = self.catching_up.done(WaitsFor::Room) => {
                    let event = Event::CaughtUp { connection: self.connection, round, sends_on };
                    self.core.send_async(event).await.map_err(|_| Stopped)?;
                }
            }
        }
    }

    async fn caught_up(&self, Answer { round, sends_on }: Answer) -> Result<(), Stopped> {
        self.tell(Event::CaughtUp { connection: self.connection, round, sends_on }).await
    }

    async fn send(&self, request: Result<Command, CommandError>) -> Result<(), Stopped> {
        self.tell(Event::Request { connection: self.connection, request }).await
    }

    async fn tell(&self, event: Event) -> Result<(), Stopped> {
        self.core.send_async(event).await.map_err(|_| Stopped)
    }

    /// The core ends the connection when the commands before this have been answered.
    async fn end_of_input(&self) -> InputEnd {
        let ended = Event::InputEnded { connection: self.connection };
        let told = self.tell(ended).await.is_ok() && self.send(Ok(Command::End)).await.is_ok();
        if told { InputEnd::Closed } else { InputEnd::Broken }
    }
}
