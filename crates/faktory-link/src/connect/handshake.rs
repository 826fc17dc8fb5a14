//! The handshake of Faktory's protocol: greeting and HELLO, and an optional probe in the same
//! write.

use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use faktory_wire::{
    Abilities, Command, Greeting, Hello, Proof, Reply, ReplyDecoder, password_hash,
};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::arrival::{Deadline, OverTcp, Silent};
use crate::config::{LinkConfig, WorkerIdentity};
use crate::error::{LinkError, Phase};
use crate::stream::Stream;

/// Bytes of one reply during the handshake at the most; a greeting has less than a hundred.
const REPLY_MAX: usize = 16 << 10;

/// What a worker understands beyond Faktory: the numbers of reservations.
const UNDERSTOOD: u32 = 1;

/// The handshake over one stream.
pub(super) struct Handshake<'a> {
    pub(super) config: &'a LinkConfig,
    pub(super) identity: Option<&'a WorkerIdentity>,
    /// Whether the server is also to answer an empty push (`PUSHB []`), sent together with HELLO.
    pub(super) probe: bool,
}

/// A stream after its handshake.
pub(super) struct Shaken {
    pub(super) stream: Stream,
    /// The bytes that came after the handshake.
    pub(super) rest: BytesMut,
    /// What the server can do beyond Faktory.
    pub(super) abilities: Abilities,
}

impl Handshake<'_> {
    /// Carries out the handshake until the deadline. Sets `heard` once the server's greeting has
    /// come, or its reading has failed.
    pub(super) async fn run(
        &self,
        mut stream: Stream,
        deadline: Deadline,
        heard: &mut bool,
    ) -> Result<Shaken, LinkError> {
        let mut hello = hello(self.identity);
        let password = self.config.password.as_deref();
        let mut steps = Steps { deadline, limit: self.config.connect_timeout };
        // Without a password nothing in the greeting is needed: HELLO is sent before the greeting
        // has come, which saves a round trip.
        if password.is_none() {
            self.send(&mut stream, &hello, &mut steps).await?;
        }
        let mut replies = Replies {
            decoder: ReplyDecoder::new(REPLY_MAX),
            buffer: BytesMut::with_capacity(4 << 10),
        };
        let greeting =
            replies.next(&mut stream, &mut steps).await.map_err(|e| replies.or_tls(e, &stream));
        *heard = !matches!(greeting, Err(LinkError::Timeout { .. }));
        let greeting = match greeting? {
            Reply::Simple(text) => {
                Greeting::parse(&text).map_err(|error| LinkError::Unexpected(error.to_string()))?
            }
            Reply::Error(text) => return Err(LinkError::refused(&text)),
            other => return Err(LinkError::Unexpected(format!("{other:?}"))),
        };
        match (greeting.proof(), password) {
            (Proof::Hash { .. } | Proof::Weak, None) => return Err(LinkError::PasswordNeeded),
            // Whoever answers in the work server's place could guess the password from it.
            (Proof::Weak, Some(_)) => return Err(LinkError::WeakProof),
            (Proof::Hash { salt, iterations }, Some(password)) => {
                let hash = hash(password.to_owned(), salt.to_owned(), iterations);
                hello.pwdhash = Some(steps.hash(hash).await?);
                self.send(&mut stream, &hello, &mut steps).await?;
            }
            (Proof::NotAsked, Some(_)) => {
                log_not_asked(self.config);
                self.send(&mut stream, &hello, &mut steps).await?;
            }
            (Proof::NotAsked, None) => {}
        }
        match replies.next(&mut stream, &mut steps).await? {
            Reply::Simple(_) => {}
            Reply::Error(text) => return Err(LinkError::refused(&text)),
            other => return Err(LinkError::Unexpected(format!("{other:?}"))),
        }
        if self.probe {
            match replies.next(&mut stream, &mut steps).await? {
                Reply::Bulk(_) => {}
                Reply::Error(text) => return Err(LinkError::refused(&text)),
                other => return Err(LinkError::Unexpected(format!("{other:?} to an empty push"))),
            }
        }
        let abilities = greeting.abilities.unwrap_or_default();
        Ok(Shaken { stream, rest: replies.buffer, abilities })
    }

    /// Sends HELLO, and the probe with it.
    async fn send(
        &self,
        stream: &mut Stream,
        hello: &Hello,
        steps: &mut Steps,
    ) -> Result<(), LinkError> {
        let mut lines = Vec::new();
        hello.encode(&mut lines);
        if self.probe {
            lines.extend(Command::PushBulk(Vec::new()).to_line());
        }
        let mut left = lines.as_slice();
        while !left.is_empty() {
            match steps.write(stream, |stream, context| stream.poll_write(context, left)).await? {
                0 => return Err(failed(ErrorKind::WriteZero.into())),
                count => left = left.get(count..).unwrap_or_default(),
            }
        }
        // TLS may keep bytes back until then.
        steps.write(stream, AsyncWrite::poll_flush).await
    }
}

/// The steps of a handshake, within one deadline.
struct Steps {
    deadline: Deadline,
    limit: Duration,
}

impl Steps {
    async fn read(
        &mut self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
    ) -> Result<usize, LinkError> {
        let read = |stream: &mut Stream, context: &mut Context<'_>| {
            pin!(stream.read_buf(buffer)).poll(context)
        };
        let read = self.deadline.watch(stream, read, Stream::has_arrivals).await;
        self.in_time(read)
    }

    async fn write<T>(
        &mut self,
        stream: &mut Stream,
        step: impl Fn(Pin<&mut Stream>, &mut Context<'_>) -> Poll<std::io::Result<T>>,
    ) -> Result<T, LinkError> {
        let step = |stream: &mut Stream, context: &mut Context<'_>| step(Pin::new(stream), context);
        let written = self.deadline.watch(stream, step, Stream::takes_bytes).await;
        self.in_time(written)
    }

    /// Awaits the hash of the password, which needs nothing of the server.
    async fn hash(
        &self,
        hash: impl Future<Output = Result<String, LinkError>>,
    ) -> Result<String, LinkError> {
        let timed_out = LinkError::Timeout { phase: Phase::Handshake, after: self.limit };
        deadline::timeout(self.limit, hash).await.unwrap_or(Err(timed_out))
    }

    fn in_time<T>(&self, done: Result<std::io::Result<T>, Silent>) -> Result<T, LinkError> {
        match done {
            Ok(result) => result.map_err(failed),
            Err(Silent) => Err(LinkError::Timeout { phase: Phase::Handshake, after: self.limit }),
        }
    }
}

/// Says once for each process that the password is not used.
fn log_not_asked(config: &LinkConfig) {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            work_server = %format_args!("{}:{}", config.host, config.port),
            "a password is configured, and the work server does not ask for it: the password was \
             not sent, and everybody who reaches the work server may use it"
        );
    }
}

fn failed(source: std::io::Error) -> LinkError {
    LinkError::Io { phase: Phase::Handshake, source }
}

/// Hashes the password. That takes milliseconds, so it does not run on a thread that serves others.
async fn hash(password: String, salt: String, iterations: u32) -> Result<String, LinkError> {
    tokio::task::spawn_blocking(move || password_hash(&password, &salt, iterations))
        .await
        .map_err(|error| LinkError::Unexpected(error.to_string()))
}

fn hello(identity: Option<&WorkerIdentity>) -> Hello {
    let mut hello = Hello { v: 2, ..Hello::default() };
    if let Some(identity) = identity {
        hello.wid = Some(identity.wid.clone());
        hello.hostname = Some(identity.hostname.clone());
        hello.pid = Some(std::process::id().into());
        hello.labels = Some(identity.labels.clone());
        hello.wf = Some(UNDERSTOOD);
    }
    hello
}

/// The server's replies during the handshake.
struct Replies {
    decoder: ReplyDecoder,
    buffer: BytesMut,
}

impl Replies {
    async fn next(&mut self, stream: &mut Stream, steps: &mut Steps) -> Result<Reply, LinkError> {
        loop {
            if let Some(reply) = self.decoder.decode(&mut self.buffer)? {
                return Ok(reply);
            }
            if steps.read(stream, &mut self.buffer).await? == 0 {
                return Err(LinkError::Closed(Phase::Handshake));
            }
        }
    }

    /// The error that says so where a server with TLS was reached without TLS. Such a server sends
    /// an alert, or closes the connection.
    fn or_tls(&self, error: LinkError, stream: &Stream) -> LinkError {
        /// The first byte of an alert and of a handshake (RFC 8446, 5.1).
        const RECORDS: [u8; 2] = [21, 22];
        let is_closed = match &error {
            LinkError::Closed(_) => true,
            LinkError::Io { source, .. } => source.kind() == ErrorKind::ConnectionReset,
            _ => false,
        };
        match (stream, self.buffer.first()) {
            (Stream::Plain(_), Some(first)) if RECORDS.contains(first) => LinkError::SpeaksTls,
            (Stream::Plain(_), None) if is_closed => LinkError::NoGreeting,
            _ => error,
        }
    }
}
