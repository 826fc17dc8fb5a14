//! One client's connection: handshake, lines in, replies out, and what was not delivered when it ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use faktory_wire::{Command, CommandError, Greeting, Hello, LineDecoder, Reply, password_hash};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config::BrokerConfig;
use crate::core::{Event, Outgoing};
use crate::delivery::Delivery;
use crate::machine::ConnectionId;

/// What a client may have unanswered: a command costs 1, one more for every 64 KiB, and those whose answers can be large 8.
const UNANSWERED_MAX: u32 = 1024;
const UNANSWERED_BYTES: usize = 64 << 10;
const LARGE_ANSWER_COST: u32 = 8;
/// Answers are put together up to this size before they are written.
const WRITE_BYTES: usize = 64 << 10;
/// How long it is waited for a client that was told to go, and for the last answers to arrive.
const FAREWELL: Duration = Duration::from_secs(5);
const FIRST_LINE_MAX: usize = 64 << 10;

/// A connection that was accepted.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) stream: TcpStream,
    pub(crate) config: Arc<BrokerConfig>,
    pub(crate) core: flume::Sender<Event>,
}

/// Why no more lines come.
enum InputEnd {
    /// The client closed its side.
    Closed,
    /// The connection is broken, or the core is gone.
    Broken,
}

impl Connection {
    /// Serves the client until the end. Never fails: what goes wrong is the client's.
    pub(crate) async fn serve(mut self) {
        let mut buffer = BytesMut::with_capacity(8 << 10);
        let greeted = tokio::time::timeout(self.config.handshake_timeout, self.handshake(&mut buffer)).await;
        let Ok(Some(hello)) = greeted else { return };
        let (sender, receiver) = mpsc::channel(UNANSWERED_MAX as usize + 8);
        let opened = Event::Opened { connection: self.id, hello: Box::new(hello), replies: sender };
        if self.core.send_async(opened).await.is_ok() {
            self.converse(buffer, receiver).await;
        }
    }

    /// Too many connections are told so only after their HELLO, as with Faktory: clients read one reply to it.
    pub(crate) async fn refuse(mut self, connections: usize) {
        let mut buffer = BytesMut::new();
        let greeted = tokio::time::timeout(self.config.handshake_timeout, self.handshake(&mut buffer)).await;
        if let Ok(Some(_)) = greeted {
            let reply = Reply::error(format!("too many connections: {connections}"));
            self.send_and_close(&reply).await;
        }
    }

    /// Greets, and reads who the client is; `None` where it is to be left.
    async fn handshake(&mut self, buffer: &mut BytesMut) -> Option<Hello> {
        let asked = self.config.password.is_some().then(|| (fastrand::u32(4000..8096), format!("{:x}", fastrand::u64(..) >> 1)));
        let (iterations, salt) = asked.clone().unzip();
        let mut wire = Vec::new();
        Greeting { v: 2, iterations, salt }.encode(&mut wire);
        self.stream.write_all(&wire).await.ok()?;

        let mut decoder = LineDecoder::new(FIRST_LINE_MAX);
        let line = loop {
            match decoder.decode(buffer) {
                Ok(Some(line)) => break line,
                Ok(None) => {}
                Err(error) => return self.leave(&error.to_string()).await,
            }
            if self.stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        };
        let hello = match Hello::parse(&line) {
            Ok(hello) => hello,
            Err(error) => return self.leave(&error.to_string()).await,
        };
        if let (Some(password), Some((iterations, salt))) = (self.config.password.clone(), asked) {
            // Milliseconds of hashing: not on a thread that serves others.
            let expected = tokio::task::spawn_blocking(move || password_hash(&password, &salt, iterations)).await.ok()?;
            if !same(expected.as_bytes(), hello.pwdhash.as_deref().unwrap_or_default().as_bytes()) {
                return self.leave("Invalid password").await;
            }
        }
        let mut wire = Vec::new();
        Reply::OK.encode(&mut wire);
        self.stream.write_all(&wire).await.ok()?;
        Some(hello)
    }

    async fn leave(&mut self, why: &str) -> Option<Hello> {
        self.send_and_close(&Reply::error(why)).await;
        None
    }

    async fn send_and_close(&mut self, reply: &Reply) {
        let mut wire = Vec::new();
        reply.encode(&mut wire);
        if self.stream.write_all(&wire).await.is_ok() && self.stream.shutdown().await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_millis(500), discard(&mut self.stream)).await;
        }
    }

    async fn converse(mut self, buffer: BytesMut, mut replies: mpsc::Receiver<Outgoing>) {
        let window = Arc::new(Semaphore::new(UNANSWERED_MAX as usize));
        // Permits travel beside the commands, in their order, and are released as the answers are written.
        let (unanswered, mut answered) = mpsc::channel(UNANSWERED_MAX as usize);
        let mut delivery = Delivery::default();
        let (id, core) = (self.id, self.core.clone());
        let (input_ended, all_written) = {
            let mut reading = std::pin::pin!(read_lines(&self, buffer, &window, unanswered));
            let mut writing = std::pin::pin!(write_replies(&self.stream, &mut replies, &mut answered, &mut delivery));
            tokio::select! {
                input = &mut reading => match input {
                    // What was asked for is still answered.
                    InputEnd::Closed => (true, writing.await),
                    InputEnd::Broken => (true, false),
                },
                all_written = &mut writing => (false, all_written),
            }
        };
        if all_written {
            self.farewell(input_ended, &mut delivery).await;
        }
        // From here on the core can't send any more; what it has sent and was not written did not arrive.
        replies.close();
        let mut unsent = Vec::new();
        while let Some(outgoing) = replies.recv().await {
            if let Outgoing::Reply { reservation: Some(reservation), .. } = outgoing {
                unsent.push(reservation);
            }
        }
        let mut undelivered = delivery.undelivered(&self.stream);
        undelivered.append(&mut unsent);
        let _ = core.send_async(Event::Closed { connection: id, undelivered }).await;
    }

    /// Everything has been written: says so, and sees to it that it arrives.
    async fn farewell(&mut self, input_ended: bool, delivery: &mut Delivery) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let arrive = async {
            if !input_ended && discard(&mut self.stream).await.is_err() {
                return;
            }
            let mut pause = Duration::from_millis(1);
            while !delivery.all_arrived(&self.stream) && matches!(self.stream.take_error(), Ok(None)) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        };
        let _ = tokio::time::timeout(FAREWELL, arrive).await;
    }
}

/// Reads to the end and forgets. Closing with unread bytes would reset the connection and take the last answers with it.
async fn discard(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut sink = [0; 4096];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

/// Compares in a time that does not tell where the difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

async fn read_lines(
    connection: &Connection,
    mut buffer: BytesMut,
    window: &Arc<Semaphore>,
    unanswered: mpsc::Sender<OwnedSemaphorePermit>,
) -> InputEnd {
    let mut decoder = LineDecoder::new(connection.config.max_line_bytes);
    let id = connection.id;
    loop {
        loop {
            let (request, last) = match decoder.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(line)) => {
                    let cost = u32::try_from(line.len() / UNANSWERED_BYTES).unwrap_or(UNANSWERED_MAX);
                    let request = Command::parse(&line);
                    let has_large_answer = matches!(request, Ok(Command::Fetch(_) | Command::Info | Command::Queue(_)));
                    let cost = cost + if has_large_answer { LARGE_ANSWER_COST } else { 1 };
                    let Ok(permit) = Arc::clone(window).acquire_many_owned(cost.min(UNANSWERED_MAX)).await else {
                        return InputEnd::Broken;
                    };
                    if unanswered.send(permit).await.is_err() {
                        return InputEnd::Broken;
                    }
                    (request, false)
                }
                Err(error) => (Err(CommandError::from(error)), true),
            };
            if connection.core.send_async(Event::Request { connection: id, request }).await.is_err() {
                return InputEnd::Broken;
            }
            if last {
                let _ = connection.core.send_async(Event::Request { connection: id, request: Ok(Command::End) }).await;
                // Nobody knows where the next line begins; the connection ends when its answers are written.
                return std::future::pending().await;
            }
        }
        if buffer.capacity() - buffer.len() < 4 << 10 {
            buffer.reserve(16 << 10);
        }
        match read_some(&connection.stream, &mut buffer).await {
            Ok(0) => {
                let ended = Event::InputEnded { connection: id };
                let end = Event::Request { connection: id, request: Ok(Command::End) };
                let told = connection.core.send_async(ended).await.is_ok() && connection.core.send_async(end).await.is_ok();
                return if told { InputEnd::Closed } else { InputEnd::Broken };
            }
            Ok(_) => {}
            Err(_) => return InputEnd::Broken,
        }
    }
}

/// Reads through a shared reference, so that reading and writing can go on side by side on an undivided stream.
async fn read_some(stream: &TcpStream, buffer: &mut BytesMut) -> std::io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read_buf(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// Writes answers, as many at a time as there are; true where the core said that it was the last.
async fn write_replies(
    stream: &TcpStream,
    replies: &mut mpsc::Receiver<Outgoing>,
    answered: &mut mpsc::Receiver<OwnedSemaphorePermit>,
    delivery: &mut Delivery,
) -> bool {
    let mut wire = Vec::new();
    let mut permits = Vec::new();
    loop {
        let Some(first) = replies.recv().await else { return false };
        let mut next = Some(first);
        let mut last = false;
        while let Some(outgoing) = next {
            match outgoing {
                Outgoing::Reply { reply, reservation } => {
                    reply.encode(&mut wire);
                    permits.extend(answered.try_recv().ok());
                    if let Some(reservation) = reservation {
                        delivery.expect(wire.len(), reservation);
                    }
                }
                Outgoing::Close => {
                    last = true;
                    break;
                }
            }
            next = if wire.len() < WRITE_BYTES { replies.try_recv().ok() } else { None };
        }
        if write_all(stream, &wire, delivery).await.is_err() {
            return false;
        }
        wire.clear();
        permits.clear();
        if wire.capacity() > 4 * WRITE_BYTES {
            wire = Vec::new();
        }
        if last {
            return true;
        }
    }
}

async fn write_all(stream: &TcpStream, mut wire: &[u8], delivery: &mut Delivery) -> std::io::Result<()> {
    while !wire.is_empty() {
        stream.writable().await?;
        match stream.try_write(wire) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                delivery.wrote(count, stream);
                wire = wire.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
