//! One client's connection: handshake, lines in, replies out, and what was not delivered when it
//! ends.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::BytesMut;
use faktory_wire::{Command, CommandError, Greeting, Hello, LineDecoder, Reply, password_hash};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::config::BrokerConfig;
use crate::core::{Event, Outgoing};
use crate::delivery::Delivery;
use crate::machine::ConnectionId;
use crate::shared_io::SharedIo;

/// Both directions of a connection by TLS.
type Halves<'a> = (ReadHalf<TlsStream<SharedIo<'a>>>, WriteHalf<TlsStream<SharedIo<'a>>>);

/// What a client may have unanswered: a command costs 1, one more for every 64 KiB, and those whose
/// answers can be large 8.
const UNANSWERED_MAX: u32 = 1024;
const UNANSWERED_BYTES: usize = 64 << 10;
const LARGE_ANSWER_COST: u32 = 8;
/// Answers are put together up to this size before they are written.
const WRITE_BYTES: usize = 64 << 10;
/// How long it is waited for a client that was told to go, and for the last answers to arrive.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long it is waited for a client that is told why it must go.
const LAST_WORDS: Duration = Duration::from_millis(500);
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
    pub(crate) async fn serve(self) {
        self.meet(None).await;
    }

    /// Too many connections are told so only after their HELLO, as with Faktory: clients read one
    /// reply to it.
    pub(crate) async fn refuse(self, connections: usize) {
        self.meet(Some(connections)).await;
    }

    async fn meet(self, too_many: Option<usize>) {
        let written = AtomicU64::new(0);
        let io = SharedIo { stream: &self.stream, written: &written };
        match &self.config.tls {
            None => self.meet_over(io, io, io, too_many).await,
            Some(tls) => {
                if let Some((reader, writer)) = self.accept_tls(tls, io).await {
                    self.meet_over(reader, writer, io, too_many).await;
                }
            }
        }
    }

    async fn accept_tls<'a>(
        &self,
        tls: &Arc<ServerConfig>,
        io: SharedIo<'a>,
    ) -> Option<Halves<'a>> {
        let accepting = TlsAcceptor::from(Arc::clone(tls)).accept(io);
        match tokio::time::timeout(self.config.handshake_timeout, accepting).await {
            Ok(Ok(stream)) => Some(tokio::io::split(stream)),
            Ok(Err(error)) => {
                let client =
                    self.stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
                // Who only looks whether the port is open says nothing.
                if error.get_ref().is_some_and(|cause| cause.is::<tokio_rustls::rustls::Error>()) {
                    tracing::info!(client, %error, "a client failed to agree on TLS");
                } else {
                    tracing::debug!(client, %error, "a client left before TLS");
                }
                None
            }
            Err(_) => None,
        }
    }

    async fn meet_over(
        &self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        io: SharedIo<'_>,
        too_many: Option<usize>,
    ) {
        let mut buffer = BytesMut::with_capacity(8 << 10);
        let greeting = self.handshake(&mut reader, &mut writer, &mut buffer);
        let greeted = tokio::time::timeout(self.config.handshake_timeout, greeting).await;
        let Ok(Some(hello)) = greeted else { return };
        if let Some(connections) = too_many {
            let reply = Reply::error(format!("too many connections: {connections}"));
            return send_and_close(&mut reader, &mut writer, &reply).await;
        }
        let (sender, receiver) = mpsc::channel(UNANSWERED_MAX as usize + 8);
        let opened = Event::Opened { connection: self.id, hello: Box::new(hello), replies: sender };
        if self.core.send_async(opened).await.is_ok() {
            self.converse(reader, writer, io, buffer, receiver).await;
        }
    }

    /// Greets, and reads who the client is; `None` where it is to be left.
    async fn handshake(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        buffer: &mut BytesMut,
    ) -> Option<Hello> {
        let asked = self
            .config
            .password
            .is_some()
            .then(|| (fastrand::u32(4000..8096), format!("{:x}", fastrand::u64(..) >> 1)));
        let (iterations, salt) = asked.clone().unzip();
        let mut wire = Vec::new();
        Greeting { v: 2, iterations, salt }.encode(&mut wire);
        send(writer, &wire).await.ok()?;

        let mut decoder = LineDecoder::new(FIRST_LINE_MAX);
        let line = loop {
            match decoder.decode(buffer) {
                Ok(Some(line)) => break line,
                Ok(None) => {}
                Err(error) => return leave(reader, writer, &error.to_string()).await,
            }
            if reader.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        };
        let hello = match Hello::parse(&line) {
            Ok(hello) => hello,
            Err(error) => return leave(reader, writer, &error.to_string()).await,
        };
        if let (Some(password), Some((iterations, salt))) = (self.config.password.clone(), asked) {
            // Milliseconds of hashing: not on a thread that serves others.
            let expected =
                tokio::task::spawn_blocking(move || password_hash(&password, &salt, iterations))
                    .await
                    .ok()?;
            if !same(expected.as_bytes(), hello.pwdhash.as_deref().unwrap_or_default().as_bytes()) {
                return leave(reader, writer, "Invalid password").await;
            }
        }
        let mut wire = Vec::new();
        Reply::OK.encode(&mut wire);
        send(writer, &wire).await.ok()?;
        Some(hello)
    }

    async fn converse(
        &self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        io: SharedIo<'_>,
        buffer: BytesMut,
        mut replies: mpsc::Receiver<Outgoing>,
    ) {
        let window = Arc::new(Semaphore::new(UNANSWERED_MAX as usize));
        // Permits travel beside the commands, in their order, and are released as the answers are
        // written.
        let (unanswered, mut answered) = mpsc::channel(UNANSWERED_MAX as usize);
        let mut delivery = Delivery::new(io, self.config.tls.is_none());
        let (id, core) = (self.id, self.core.clone());
        let (input_ended, all_written) = {
            let mut reading =
                std::pin::pin!(read_lines(self, &mut reader, buffer, &window, unanswered));
            let mut writing = std::pin::pin!(write_replies(
                &mut writer,
                &mut replies,
                &mut answered,
                &mut delivery
            ));
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
            farewell(&mut reader, &mut writer, io.stream, input_ended, &mut delivery).await;
        }
        // From here on the core can't send any more; what it has sent and was not written did not
        // arrive.
        replies.close();
        let mut unsent = Vec::new();
        while let Some(outgoing) = replies.recv().await {
            if let Outgoing::Reply { reservation: Some(reservation), .. } = outgoing {
                unsent.push(reservation);
            }
        }
        let mut undelivered = delivery.undelivered();
        undelivered.append(&mut unsent);
        let _ = core.send_async(Event::Closed { connection: id, undelivered }).await;
    }
}

/// Everything has been written: says so, and sees to it that it arrives.
async fn farewell(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    stream: &TcpStream,
    input_ended: bool,
    delivery: &mut Delivery<'_>,
) {
    let arrive = async {
        // By TLS a last word is written, which waits where the client reads nothing.
        if writer.shutdown().await.is_err() {
            return;
        }
        if !input_ended && discard(reader).await.is_err() {
            return;
        }
        let mut pause = Duration::from_millis(1);
        while !delivery.all_arrived() && matches!(stream.take_error(), Ok(None)) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    let _ = tokio::time::timeout(FAREWELL, arrive).await;
}

async fn leave(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    why: &str,
) -> Option<Hello> {
    send_and_close(reader, writer, &Reply::error(why)).await;
    None
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

async fn send_and_close(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    reply: &Reply,
) {
    let mut wire = Vec::new();
    reply.encode(&mut wire);
    let last_words = async {
        if send(writer, &wire).await.is_ok() && writer.shutdown().await.is_ok() {
            let _ = discard(reader).await;
        }
    };
    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
}

/// Reads to the end and forgets. Closing with unread bytes would reset the connection and take the
/// last answers with it.
async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut sink = [0; 4096];
    while read(stream.read(&mut sink).await)? > 0 {}
    Ok(())
}

/// Many close a connection by TLS without a word of TLS: that is an end as good as any, since
/// commands are whole lines.
fn read(result: std::io::Result<usize>) -> std::io::Result<usize> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
        result => result,
    }
}

/// Compares in a time that does not tell where the difference is.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

async fn read_lines(
    connection: &Connection,
    reader: &mut (impl AsyncRead + Unpin),
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
                    let cost =
                        u32::try_from(line.len() / UNANSWERED_BYTES).unwrap_or(UNANSWERED_MAX);
                    let request = Command::parse(&line);
                    let has_large_answer = matches!(
                        request,
                        Ok(Command::Fetch(_) | Command::Info | Command::Queue(_))
                    );
                    let cost = cost + if has_large_answer { LARGE_ANSWER_COST } else { 1 };
                    let Ok(permit) =
                        Arc::clone(window).acquire_many_owned(cost.min(UNANSWERED_MAX)).await
                    else {
                        return InputEnd::Broken;
                    };
                    if unanswered.send(permit).await.is_err() {
                        return InputEnd::Broken;
                    }
                    (request, false)
                }
                Err(error) => (Err(CommandError::from(error)), true),
            };
            if connection.core.send_async(Event::Request { connection: id, request }).await.is_err()
            {
                return InputEnd::Broken;
            }
            if last {
                let _ = connection
                    .core
                    .send_async(Event::Request { connection: id, request: Ok(Command::End) })
                    .await;
                // Nobody knows where the next line begins; the connection ends when its answers are
                // written.
                return std::future::pending().await;
            }
        }
        if buffer.capacity() - buffer.len() < 4 << 10 {
            buffer.reserve(16 << 10);
        }
        match read(reader.read_buf(&mut buffer).await) {
            Ok(0) => {
                let ended = Event::InputEnded { connection: id };
                let end = Event::Request { connection: id, request: Ok(Command::End) };
                let told = connection.core.send_async(ended).await.is_ok()
                    && connection.core.send_async(end).await.is_ok();
                return if told { InputEnd::Closed } else { InputEnd::Broken };
            }
            Ok(_) => {}
            Err(_) => return InputEnd::Broken,
        }
    }
}

/// Writes answers, as many at a time as there are; true where the core said that it was the last.
async fn write_replies(
    writer: &mut (impl AsyncWrite + Unpin),
    replies: &mut mpsc::Receiver<Outgoing>,
    answered: &mut mpsc::Receiver<OwnedSemaphorePermit>,
    delivery: &mut Delivery<'_>,
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
        if write_all(writer, &wire, delivery).await.is_err() {
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

async fn write_all(
    writer: &mut (impl AsyncWrite + Unpin),
    mut wire: &[u8],
    delivery: &mut Delivery<'_>,
) -> std::io::Result<()> {
    while !wire.is_empty() {
        let count = writer.write(wire).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        delivery.wrote();
        wire = wire.get(count..).unwrap_or_default();
    }
    writer.flush().await?;
    delivery.flushed();
    Ok(())
}
