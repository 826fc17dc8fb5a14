//! Making a connection: socket options, TCP, greeting, HELLO; each with its deadline.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use faktory_wire::{Command, Greeting, Hello, Reply, ReplyDecoder, password_hash};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{Error as TlsError, InvalidMessage};

use crate::config::{LinkConfig, WorkerIdentity};
use crate::error::{LinkError, Phase};
use crate::stream::Stream;

/// A greeting is tens of bytes.
const HANDSHAKE_REPLY_MAX: usize = 16 << 10;

/// Bytes that the system holds and has not sent yet, at the most: with more, a connection is full
/// for us, so that what waits gathers here and can still go over another.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_BYTES: u32 = 16 << 10;

/// A refused congestion control is worth one line, not one for each connection.
static REFUSED_SAID: AtomicBool = AtomicBool::new(false);

/// A connection after its handshake; `rest` is what came behind it already.
pub(crate) struct Dialled {
    pub(crate) stream: Stream,
    pub(crate) rest: BytesMut,
    /// How long TCP's handshake took.
    pub(crate) distance: Duration,
}

/// Connects and says HELLO; with a `probe` it asks for an answer in the same write (`PUSHB []`) and
/// waits for it too.
pub(crate) async fn dial(
    config: &LinkConfig,
    identity: Option<&WorkerIdentity>,
    probe: bool,
) -> Result<Dialled, LinkError> {
    let limit = config.connect_timeout;
    let resolve = tokio::net::lookup_host((config.host.as_str(), config.port));
    let addresses: Vec<SocketAddr> = within(limit, Phase::Resolve, resolve).await?.collect();
    let (stream, distance) =
        connect_first(config, &addresses).await.map_err(|source| match source.kind() {
            ErrorKind::TimedOut => LinkError::Timeout { phase: Phase::Connect, after: limit },
            _ => LinkError::Io { phase: Phase::Connect, source },
        })?;
    let stream = match &config.tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let connecting = TlsConnector::from(Arc::clone(&tls.config))
                .connect(tls.server_name.clone(), stream);
            Stream::Tls(Box::new(
                within(limit, Phase::Tls, connecting).await.map_err(speaks_no_tls)?,
            ))
        }
    };
    let mut heard = false;
    let (stream, rest) =
        match tokio::time::timeout(limit, handshake(config, identity, probe, stream, &mut heard))
            .await
        {
            Ok(result) => result?,
            Err(_) if config.tls.is_none() && !heard => {
                return Err(LinkError::Silent { after: limit });
            }
            Err(_) => return Err(LinkError::Timeout { phase: Phase::Handshake, after: limit }),
        };
    Ok(Dialled { stream, rest, distance })
}

async fn within<T>(
    limit: Duration,
    phase: Phase,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, LinkError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|source| LinkError::Io { phase, source }),
        Err(_) => Err(LinkError::Timeout { phase, after: limit }),
    }
}

/// A greeting in place of TLS's first answer.
fn speaks_no_tls(error: LinkError) -> LinkError {
    let of_tls = |source: &std::io::Error| {
        source.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()).cloned()
    };
    match &error {
        LinkError::Io { source, .. }
            if of_tls(source)
                == Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) =>
        {
            LinkError::SpeaksNoTls
        }
        _ => error,
    }
}

/// Tries the addresses in turn, each with its share of the time; the last failure is the one
/// reported.
async fn connect_first(
    config: &LinkConfig,
    addresses: &[SocketAddr],
) -> std::io::Result<(TcpStream, Duration)> {
    let mut failure = std::io::Error::new(ErrorKind::NotFound, "the host has no address");
    let share = config.connect_timeout / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    for address in addresses {
        match tokio::time::timeout(share, connect(config, *address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}

async fn connect(
    config: &LinkConfig,
    address: SocketAddr,
) -> std::io::Result<(TcpStream, Duration)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Without it a batch costs two round trips: its last segment waits for the first's
    // acknowledgement.
    socket.set_tcp_nodelay(true)?;
    choose_congestion(config, &socket);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
    let begin = Instant::now();
    let stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
    let distance = begin.elapsed();
    let socket = SockRef::from(&stream);
    // Linux waits for an interval after every probe, answered or not; a longer one than the idle
    // time would let a NAT forget.
    let interval = config.keepalive_interval.min(config.keepalive_idle);
    let keepalive = TcpKeepalive::new().with_time(config.keepalive_idle).with_interval(interval);
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    // Bytes that nobody acknowledges end the connection, keepalive or not.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.write_timeout))?;
    Ok((stream, distance))
}

/// Chooses how what is sent from here reacts to loss and distance. The other end's choice is its
/// own.
fn choose_congestion(config: &LinkConfig, socket: &Socket) {
    let Some(name) = &config.congestion else { return };
    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    let result = socket.set_tcp_congestion(name.as_bytes());
    #[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
    let result: std::io::Result<()> = {
        let _ = socket;
        Err(ErrorKind::Unsupported.into())
    };
    if let Err(error) = result
        && !REFUSED_SAID.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(congestion = %name, %error, "the system refuses this congestion control (FAKTORY_TCP_CONGESTION) and uses its own");
    }
}

async fn handshake(
    config: &LinkConfig,
    identity: Option<&WorkerIdentity>,
    probe: bool,
    mut stream: Stream,
    heard: &mut bool,
) -> Result<(Stream, BytesMut), LinkError> {
    let failed = |source| LinkError::Io { phase: Phase::Handshake, source };
    let mut hello = hello(identity);
    // Without a password nothing in the greeting is needed: HELLO goes ahead of it and saves a
    // round trip.
    if config.password.is_none() {
        send(&mut stream, &lines(&hello, probe)).await.map_err(failed)?;
    }
    let mut replies = Replies {
        decoder: ReplyDecoder::new(HANDSHAKE_REPLY_MAX),
        buffer: BytesMut::with_capacity(4 << 10),
    };
    let greeting =
        replies.next(&mut stream).await.map_err(|error| replies.speaks_tls(error, &stream));
    *heard = true;
    let greeting = match greeting? {
        Reply::Simple(text) => {
            Greeting::parse(&text).map_err(|error| LinkError::Unexpected(error.to_string()))?
        }
        Reply::Error(text) => return Err(refused(text)),
        other => return Err(LinkError::Unexpected(format!("{other:?}"))),
    };
    match (greeting.salt, &config.password) {
        (Some(_), None) => return Err(LinkError::PasswordNeeded),
        (Some(salt), Some(password)) => {
            let (password, iterations) = (password.clone(), greeting.iterations.unwrap_or(1));
            // Milliseconds of hashing: not on a thread that serves others.
            let hash =
                tokio::task::spawn_blocking(move || password_hash(&password, &salt, iterations))
                    .await;
            hello.pwdhash = Some(hash.map_err(|error| LinkError::Unexpected(error.to_string()))?);
            send(&mut stream, &lines(&hello, probe)).await.map_err(failed)?;
        }
        (None, Some(_)) => send(&mut stream, &lines(&hello, probe)).await.map_err(failed)?,
        (None, None) => {}
    }
    match replies.next(&mut stream).await? {
        Reply::Simple(_) => {}
        Reply::Error(text) => return Err(refused(text)),
        other => return Err(LinkError::Unexpected(format!("{other:?}"))),
    }
    if probe {
        match replies.next(&mut stream).await? {
            Reply::Bulk(_) => {}
            Reply::Error(text) => return Err(refused(text)),
            other => return Err(LinkError::Unexpected(format!("{other:?} to an empty push"))),
        }
    }
    Ok((stream, replies.buffer))
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    // TLS may keep bytes back.
    stream.flush().await
}

fn refused(text: String) -> LinkError {
    LinkError::Refused(text.strip_prefix("ERR ").map_or(text.clone(), Into::into))
}

fn hello(identity: Option<&WorkerIdentity>) -> Hello {
    let mut hello = Hello { v: 2, ..Hello::default() };
    if let Some(identity) = identity {
        hello.wid = Some(identity.wid.clone());
        hello.hostname = Some(identity.hostname.clone());
        hello.pid = Some(std::process::id().into());
        hello.labels = Some(identity.labels.clone());
    }
    hello
}

fn lines(hello: &Hello, probe: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    hello.encode(&mut lines);
    if probe {
        lines.extend(Command::PushBulk(Vec::new()).to_line());
    }
    lines
}

struct Replies {
    decoder: ReplyDecoder,
    buffer: BytesMut,
}

impl Replies {
    /// What a server that speaks TLS does to a client that does not: an alert, or the end.
    fn speaks_tls(&self, error: LinkError, stream: &Stream) -> LinkError {
        /// The first byte of an alert and of a handshake (RFC 8446, 5.1).
        const RECORDS: [u8; 2] = [21, 22];
        match (stream, self.buffer.first()) {
            (Stream::Plain(_), Some(first)) if RECORDS.contains(first) => LinkError::SpeaksTls,
            (Stream::Plain(_), None) if matches!(error, LinkError::Closed(_)) => {
                LinkError::NoGreeting
            }
            (Stream::Plain(_), None) if matches!(&error, LinkError::Io { source, .. } if source.kind() == ErrorKind::ConnectionReset) => {
                LinkError::NoGreeting
            }
            _ => error,
        }
    }

    async fn next(&mut self, stream: &mut Stream) -> Result<Reply, LinkError> {
        loop {
            if let Some(reply) = self.decoder.decode(&mut self.buffer)? {
                return Ok(reply);
            }
            let read = stream.read_buf(&mut self.buffer).await;
            if read.map_err(|source| LinkError::Io { phase: Phase::Handshake, source })? == 0 {
                return Err(LinkError::Closed(Phase::Handshake));
            }
        }
    }
}
