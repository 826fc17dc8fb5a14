//! Accepts connections within the bound, and decides which connection makes room for a new one.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use admission::{BoundedLog, Entry, PlaceLimits, Places};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::budget::Budget;
use crate::catch_up::Asked;
use crate::command_memory::CommandMemory;
use crate::config::BrokerConfig;
use crate::connection::{Connection, Passwords, in_steps, input_budget};
use crate::core::Event;
use crate::machine::ConnectionId;

/// The most connections beyond the limit that are being refused at a time. One more is closed
/// without an answer.
const REFUSALS_MAX: usize = 64;
/// The wait after a failure to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The looks for waiting connections, and the time between them, before the listener says that none
/// waits.
const ACCEPT_LOOKS: u32 = 2;
const ACCEPT_LOOK: Duration = Duration::from_millis(10);
/// The idle time before the first TCP probe of a client, and the time between two probes. A client
/// that is gone without a trace is noticed by these probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The longest time that bytes may stay unacknowledged before their connection is ended.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time that connections may take to send their last answers at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);
/// The shortest time between two lines about connections that are turned away.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The connections that were turned away.
#[derive(Debug, Default)]
pub struct TurnedAway {
    made_room: AtomicU64,
    refused: AtomicU64,
}

impl TurnedAway {
    /// Connections that were closed before their HELLO was accepted, to make room for new ones.
    #[must_use]
    pub fn made_room(&self) -> u64 {
        self.made_room.load(Ordering::Relaxed)
    }

    /// Connections that were refused because every place belonged to a client whose HELLO had been
    /// accepted.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// What the accepting task needs.
pub(super) struct Accept {
    config: Arc<BrokerConfig>,
    core: flume::Sender<Event>,
    asked: Asked,
    /// The memory of all connections for lines that have not arrived as a whole.
    input: Budget,
    /// The memory of all connections for commands that are not carried out yet.
    memory: CommandMemory,
    places: Arc<Places<oneshot::Sender<()>>>,
    passwords: Option<Arc<Passwords>>,
    turned_away: Arc<TurnedAway>,
    made_room_log: BoundedLog,
    refused_log: BoundedLog,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
}

impl Accept {
    pub(super) fn new(
        config: BrokerConfig,
        core: flume::Sender<Event>,
        asked: Asked,
        turned_away: Arc<TurnedAway>,
    ) -> Self {
        let limits = PlaceLimits::of_total(config.max_connections);
        Self {
            places: Places::new(limits, config.trusted.clone(), fastrand::u64(..)),
            input: input_budget(&config),
            memory: CommandMemory::new(),
            passwords: Passwords::new(&config).map(Arc::new),
            config: Arc::new(config),
            core,
            asked,
            turned_away,
            made_room_log: BoundedLog::new(LOG_EVERY),
            refused_log: BoundedLog::new(LOG_EVERY),
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
        }
    }

    /// Accepts connections until the broker is told to stop, and then waits for the end of the open
    /// ones.
    pub(super) async fn run(mut self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let mut last_id = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break,
                Some(_) = self.connections.join_next() => continue,
                Some(_) = self.refusals.join_next() => continue,
                accepted = listener.accept() => accepted,
                () = say_when_none_waits(&mut self.asked, &self.core) => continue,
            };
            let (stream, client) = match accepted {
                Ok((stream, client)) => (stream, client.ip()),
                Err(error) => {
                    // A lack of file descriptors, or of memory: other connections must end first.
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = prepare(&stream) {
                tracing::debug!(%error, "failed to set the options of a new connection");
                continue;
            }
            last_id += 1;
            let (config, core) = (Arc::clone(&self.config), self.core.clone());
            let (passwords, input) = (self.passwords.clone(), self.input.clone());
            let (id, asked) = (ConnectionId(last_id), self.asked.for_connection());
            let memory = self.memory.clone();
            let connection =
                Connection { id, stream, config, passwords, core, asked, input, memory };
            self.admit(connection, client).await;
        }
        let Self { core, mut connections, .. } = self;
        drop(listener);
        let _ = core.send_async(Event::ShutDown).await;
        drop(core);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let _ = in_steps(DRAIN_TIMEOUT, std::pin::pin!(all_ended)).await;
    }

    /// Gives the connection a place, or refuses it.
    async fn admit(&mut self, connection: Connection, client: IpAddr) {
        let now = Instant::now();
        let (stop, lost) = oneshot::channel();
        let arriving = self.asked.arriving();
        match self.places.enter(client, stop, now) {
            Entry::Admitted { place, instead_of } => {
                self.connections.spawn(connection.serve(place, lost, arriving));
                if let Some(stop) = instead_of {
                    let _ = stop.send(());
                    self.note_made_room(now);
                    // The connection that was closed gives its descriptor back first.
                    tokio::task::yield_now().await;
                }
            }
            Entry::Full => {
                self.note_refused(now);
                if self.refusals.len() < REFUSALS_MAX {
                    let connections = self.config.max_connections + 1;
                    self.refusals.spawn(connection.refuse(connections, arriving));
                }
            }
        }
    }

    fn note_made_room(&mut self, now: Instant) {
        self.turned_away.made_room.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = self.made_room_log.note(now) {
            let at_most = self.places.limits().strangers;
            tracing::warn!(
                count,
                at_most,
                "closed connections before their HELLO, to make room for new ones"
            );
        }
    }

    fn note_refused(&mut self, now: Instant) {
        self.turned_away.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = self.refused_log.note(now) {
            let at_most = self.places.limits().total;
            tracing::warn!(count, at_most, "refused connections: there are too many");
        }
    }
}

/// Waits until the core asks whether all connections that wait have been accepted, and tells it
/// when that is so: to be polled where no connection is there to be accepted. Cancel safe.
async fn say_when_none_waits(asked: &mut Asked, core: &flume::Sender<Event>) {
    let round = asked.next().await;
    // The runtime lets time pass only after it has asked the system for new connections.
    for _ in 0..ACCEPT_LOOKS {
        tokio::time::sleep(ACCEPT_LOOK).await;
    }
    let _ = core.send_async(Event::Accepted { round }).await;
    asked.answer();
}

/// Sets the options of a new connection.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
