//! A client's connection, from its first byte to its last. Here: the order of its phases. TLS and
//! the handshake come first; then commands are read and replies are written side by side; at the
//! end the connection is closed, and the core is told which jobs did not arrive.

mod catching_up;
mod close;
mod handshake;
mod line_memory;
mod password;
mod patience;
mod reader;
mod tls;
mod window;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use admission::Place;
use bytes::BytesMut;
use faktory_wire::{LineDecoder, Reply};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::budget::Budget;
use crate::catch_up::{Arriving, Asked};
use crate::command_memory::CommandMemory;
use crate::config::BrokerConfig;
use crate::core::{Client, Event};
use crate::delivery::Delivery;
use crate::machine::ConnectionId;
use crate::shared_io::SharedIo;
use crate::turned_away::TurnedAway;
use crate::unwritten::WrittenBytes;
use catching_up::CatchingUp;
use handshake::Stranger;
use line_memory::LineMemory;
use patience::Patience;
pub(crate) use patience::in_steps;
use reader::{Answers, CommandReader, InputEnd, Untold};
use writer::{Replies, Written};

pub(crate) use password::Passwords;

/// An accepted connection.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) stream: TcpStream,
    pub(crate) config: Arc<BrokerConfig>,
    /// The check of the client's password; `None` where no password is asked for.
    pub(crate) passwords: Option<Arc<Passwords>>,
    pub(crate) core: flume::Sender<Event>,
    pub(crate) asked: Asked,
    /// The memory of all connections for lines that have not arrived as a whole.
    pub(crate) input: Budget,
    /// The memory of all connections for commands that are not carried out yet.
    pub(crate) memory: CommandMemory,
    /// The counts and lines about what is turned away.
    pub(crate) turned_away: Arc<TurnedAway>,
}

/// The memory for lines that have not arrived as a whole, for all connections of a broker.
pub(crate) fn input_budget(config: &BrokerConfig) -> Budget {
    Budget::new(config.max_input_bytes, line_memory::largest(config.max_line_bytes))
}

/// The place of a connection, which a new connection may take until the HELLO is accepted.
pub(crate) type HeldPlace = Place<oneshot::Sender<()>>;

/// The fate of a connection after its handshake.
#[derive(Debug)]
enum Admission {
    /// The client's commands are carried out.
    Served(HeldPlace),
    /// The client is told that there are so many connections, and is disconnected.
    TooMany(usize),
}

impl Connection {
    /// Serves the client until the connection ends, or loses its place. A failure concerns this
    /// client alone, so there is no error to return.
    pub(crate) async fn serve(
        self,
        place: HeldPlace,
        lost: oneshot::Receiver<()>,
        arriving: Arriving,
    ) {
        let lost = async {
            // Without a message the client has shown who it is, and the place is kept.
            if lost.await.is_err() {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = self.run(Admission::Served(place), arriving) => {}
            () = lost => {}
        }
    }

    /// Tells the client that there are too many connections. As with Faktory, the error follows the
    /// HELLO, because a client reads exactly one reply to it.
    pub(crate) async fn refuse(self, connections: usize, arriving: Arriving) {
        self.run(Admission::TooMany(connections), arriving).await;
    }

    async fn run(self, admission: Admission, arriving: Arriving) {
        let written = AtomicU64::new(0);
        let io = SharedIo { stream: &self.stream, written: &written };
        // One for TLS and the handshake, for which `catch_up.rs` waits no longer than this.
        let mut patience = Patience::of(self.config.handshake_timeout);
        match &self.config.tls {
            None => self.run_over(io, io, io, patience, (admission, arriving)).await,
            Some(tls) => {
                let accepted = tls::accept(tls, io, &mut patience, &self.turned_away).await;
                if let Some((reader, writer)) = accepted {
                    self.run_over(reader, writer, io, patience, (admission, arriving)).await;
                }
            }
        }
        close::discard_unread(&self.stream);
    }

    /// Runs all phases over two halves of a stream: the socket itself, or TLS above the socket.
    async fn run_over(
        &self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        io: SharedIo<'_>,
        mut patience: Patience,
        (admission, arriving): (Admission, Arriving),
    ) {
        let mut buffer = BytesMut::with_capacity(8 << 10);
        // Fails only where the client is gone.
        let Ok(peer) = self.stream.peer_addr() else { return };
        let keep_place = || match &admission {
            Admission::Served(place) => place.authenticated(),
            Admission::TooMany(_) => true,
        };
        let stranger = Stranger {
            address: peer.ip(),
            socket: io.stream,
            passwords: self.passwords.as_deref(),
            abilities: self.config.abilities(),
            keep_place: &keep_place,
        };
        let halves = (&mut reader, &mut writer);
        let handshake = stranger.shake_hands(&mut patience, halves, &mut buffer, arriving);
        let Some((hello, arriving)) = handshake.await else { return };
        if let Admission::TooMany(connections) = admission {
            drop(arriving);
            let reply = Reply::error(format!("too many connections: {connections}"));
            return close::refuse(&mut reader, &mut writer, &reply).await;
        }
        let (sender, replies) = mpsc::channel(window::REPLIES_MAX);
        let written = WrittenBytes::default();
        let client = Client::new(sender, written.clone());
        let opened = Event::Opened { connection: self.id, hello: Box::new(hello), client };
        let told = self.core.send_async(opened).await;
        drop(arriving);
        if told.is_ok() {
            let replies = Replies::new(replies, written);
            self.exchange(reader, writer, io, buffer, replies).await;
        }
    }

    /// Reads commands and writes replies until the connection ends, and tells the core the end.
    async fn exchange(
        &self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        io: SharedIo<'_>,
        buffer: BytesMut,
        mut replies: Replies,
    ) {
        let (window, mut answered) = window::window();
        let mut delivery = Delivery::new(io, self.config.tls.is_none());
        let catching_up = CatchingUp::new(self.asked.clone(), io.stream);
        let max_line_bytes = self.config.max_line_bytes;
        let commands = CommandReader {
            answers: Answers { connection: self.id, core: &self.core, catching_up },
            decoder: LineDecoder::new(max_line_bytes),
            window,
            memory: LineMemory::new(&self.input, max_line_bytes, buffer.capacity()),
            command_memory: self.memory.of_connection(),
            untold: Untold::default(),
            buffer,
            stream: io.stream,
            turned_away: &self.turned_away,
        };
        let (input_ended, written) = {
            let mut reading = std::pin::pin!(commands.run(&mut reader));
            let mut writing = std::pin::pin!(writer::write_replies(
                &mut writer,
                &mut replies,
                &self.core,
                &mut answered,
                &mut delivery
            ));
            tokio::select! {
                input = &mut reading => match input {
                    // The commands before the end of the input are still answered.
                    InputEnd::Closed => (true, writing.await),
                    InputEnd::Broken => (true, Written::Partly),
                },
                written = &mut writing => (false, written),
            }
        };
        if written == Written::Completely {
            close::after_last_reply(
                &mut reader,
                &mut writer,
                io.stream,
                input_ended,
                &mut delivery,
            )
            .await;
        }
        let mut undelivered = delivery.undelivered();
        undelivered.extend(replies.into_unsent().await);
        let _ = self.core.send_async(Event::Closed { connection: self.id, undelivered }).await;
    }
}
