//! Accepts connections within the bound, and decides which connection makes room for a new one.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use admission::{BoundedLog, Entry, PlaceLimits, Places};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::backlog::Backlog;
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
/// The idle time before the first TCP probe of a client, and the time between two probes. A client
/// that is gone without a trace is noticed by these probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The longest time that bytes may stay unacknowledged before their connection is ended.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time that connections may take to send their last answers at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);
/// The shortest time between two lines about connections that are turned away or fail.
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
    backlog: Backlog,
    /// The id of the connection that was accepted last.
    last: ConnectionId,
    /// The memory of all connections for lines that have not arrived as a whole.
    input: Budget,
    /// The memory of all connections for commands that are not carried out yet.
    memory: CommandMemory,
    places: Arc<Places<oneshot::Sender<()>>>,
    passwords: Option<Arc<Passwords>>,
    turned_away: Arc<TurnedAway>,
    made_room_log: BoundedLog,
    refused_log: BoundedLog,
    failed_log: BoundedLog,
    bad_tls: Arc<Mutex<BoundedLog>>,
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
            backlog: Backlog::default(),
            last: ConnectionId(0),
            turned_away,
            made_room_log: BoundedLog::new(LOG_EVERY),
            refused_log: BoundedLog::new(LOG_EVERY),
            failed_log: BoundedLog::new(LOG_EVERY),
            bad_tls: Arc::new(Mutex::new(BoundedLog::new(LOG_EVERY))),
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
        }
    }

    /// Accepts connections until the broker is told to stop, and then waits for the end of the open
    /// ones.
    pub(super) async fn run(mut self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        loop {
            let is_accepted = self.say_when_none_waits(&listener).await;
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break,
                Some(_) = self.connections.join_next() => continue,
                Some(_) = self.refusals.join_next() => continue,
                accepted = listener.accept() => accepted,
                // Where connections wait, the runtime is about to learn of them.
                _ = self.asked.next(), if is_accepted => continue,
            };
            match accepted {
                Ok((stream, client)) => self.take_in(stream, client.ip()).await,
                Err(error) => {
                    // A lack of file descriptors, or of memory: other connections must end first.
                    self.note_failed(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let Self { core, mut connections, .. } = self;
        drop(listener);
        let _ = core.send_async(Event::ShutDown).await;
        drop(core);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let _ = in_steps(DRAIN_TIMEOUT, std::pin::pin!(all_ended)).await;
    }

    /// Tells the core, where it has asked, once all connections that waited then have been
    /// accepted. False where some wait still.
    async fn say_when_none_waits(&mut self, listener: &TcpListener) -> bool {
        let Some(round) = self.asked.unanswered() else { return true };
        if !self.backlog.is_accepted(round, listener) {
            return false;
        }
        let _ = self.core.send_async(Event::Accepted { round, last: self.last }).await;
        self.asked.answered(round);
        true
    }

    /// Makes a connection of an accepted socket.
    async fn take_in(&mut self, stream: TcpStream, client: IpAddr) {
        self.backlog.note_accepted();
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%error, "failed to set the options of a new connection");
            return;
        }
        self.last = ConnectionId(self.last.0 + 1);
        let connection = Connection {
            id: self.last,
            stream,
            config: Arc::clone(&self.config),
            passwords: self.passwords.clone(),
            core: self.core.clone(),
            asked: self.asked.for_connection(),
            input: self.input.clone(),
            memory: self.memory.clone(),
            bad_tls: Arc::clone(&self.bad_tls),
        };
        self.admit(connection, client).await;
    }

    /// Gives the connection a place, or refuses it.
    async fn admit(&mut self, connection: Connection, client: IpAddr) {
        let now = Instant::now();
        let (stop, lost) = oneshot::channel();
        let arriving = self.asked.arriving(connection.id);
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

    fn note_failed(&mut self, error: &std::io::Error) {
        if let Some(count) = self.failed_log.note(Instant::now()) {
            tracing::warn!(%error, count, "failed to accept a connection");
        }
    }
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
