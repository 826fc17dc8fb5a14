//! Accepts connections within the bound, and decides which connection makes room for a new one.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use admission::{Entry, PlaceLimits, Places};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::backlog::Backlog;
use crate::budget::Budget;
use crate::catch_up::Asked;
use crate::command_memory::CommandMemory;
use crate::config::BrokerConfig;
use crate::connection::{Connection, Passwords, in_steps, input_budget};
use crate::core::Event;
use crate::machine::ConnectionId;
use crate::turned_away::TurnedAway;

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
/// How often the counts are logged that no line has told.
const LOG_DUE_EVERY: Duration = Duration::from_secs(1);

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
            passwords: Passwords::new(&config, Arc::clone(&turned_away)).map(Arc::new),
            config: Arc::new(config),
            core,
            asked,
            backlog: Backlog::default(),
            last: ConnectionId(0),
            turned_away,
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
        }
    }

    /// Accepts connections until the broker is told to stop, and then waits for the end of the open
    /// ones.
    pub(super) async fn run(mut self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let mut log_due = tokio::time::interval(LOG_DUE_EVERY);
        log_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_accepted = self.say_when_none_waits(&listener).await;
            let accepted = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break,
                _ = log_due.tick() => {
                    self.turned_away.log_due(&self.input);
                    continue;
                }
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
                    self.turned_away.note_failed(&error);
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
            turned_away: Arc::clone(&self.turned_away),
        };
        self.admit(connection, client).await;
    }

    /// Gives the connection a place, or refuses it.
    async fn admit(&mut self, connection: Connection, client: IpAddr) {
        let (stop, lost) = oneshot::channel();
        let arriving = self.asked.arriving(connection.id);
        match self.places.enter(client, stop, Instant::now()) {
            Entry::Admitted { place, instead_of } => {
                self.connections.spawn(connection.serve(place, lost, arriving));
                if let Some(stop) = instead_of {
                    let _ = stop.send(());
                    self.turned_away.note_made_room();
                    // The connection that was closed gives its descriptor back first.
                    tokio::task::yield_now().await;
                }
            }
            Entry::Full => {
                self.turned_away.note_refused();
                if self.refusals.len() < REFUSALS_MAX {
                    let connections = self.config.max_connections + 1;
                    self.refusals.spawn(connection.refuse(connections, arriving));
                }
            }
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
