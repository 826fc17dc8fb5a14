//! The core: the thread that owns the machine and the store. Commands that arrive during a sync
//! share the next sync.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use faktory_wire::{Command, CommandError, Hello, Reply};
use tokio::sync::mpsc;

use crate::catch_up::{CatchUp, HeldUp};
use crate::clock::{Clock, LOOK_EVERY};
use crate::command_memory::Reserved;
use crate::machine::{ConnectionId, Machine, Now, Output, Reservation};
use crate::store::{Store, StoreError};
use crate::turned_away::TurnedAway;
use crate::unwritten::WrittenBytes;

/// A message of a connection, or of the server, to the core.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client finished its handshake.
    Opened { connection: ConnectionId, hello: Box<Hello>, client: Client },
    /// A connection read a line. The memory of the command is free again when it is answered.
    Request {
        connection: ConnectionId,
        request: Result<Command, CommandError>,
        reserved: Option<Reserved>,
    },
    /// A connection has read all that had arrived when this round of `catch_up.rs` began, or can't
    /// read on. `sends_on`: its client is sending a long line.
    CaughtUp { connection: ConnectionId, round: u64, sends_on: bool },
    /// All connections that waited when this round began have been accepted, up to `last`.
    Accepted { round: u64, last: ConnectionId },
    /// A client sends nothing more.
    InputEnded { connection: ConnectionId },
    /// A connection has ended, and these jobs did not reach its client.
    Closed { connection: ConnectionId, undelivered: Vec<Reservation> },
    /// A connection wrote replies, and the core has asked to be told.
    Wrote,
    /// The server stops.
    ShutDown,
}

/// The core's side of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Has room for a reply to each command that the client may have unanswered.
    replies: mpsc::Sender<Outgoing>,
    written: WrittenBytes,
    /// The memory of the commands that are not answered, in their order.
    unanswered: VecDeque<Option<Reserved>>,
}

impl Client {
    pub(crate) const fn new(replies: mpsc::Sender<Outgoing>, written: WrittenBytes) -> Self {
        Self { replies, written, unanswered: VecDeque::new() }
    }
}

/// A message of the core to a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Send a reply, which counts for this many bytes.
    Reply { reply: Reply, reservation: Option<Reservation>, bytes: usize },
    /// End the connection when all earlier replies have been sent.
    Close,
}

/// The most events that share a sync.
const GROUP_MAX: usize = 1024;
/// The shortest time for which events are gathered while more events arrive. The bound on this time
/// bounds the wait of the first event for its answer. A short time also lets answers flow steadily:
/// a distant client sends its next commands when answers arrive, so one large group of answers
/// would be followed by a pause of a round trip.
const GROUP_TIME_MIN: Duration = Duration::from_millis(5);
/// The time for which events are gathered, as a multiple of the duration of the last sync, so that
/// more events share a slow sync. The shortest and the longest time bound the result.
const GROUP_TIME_SYNCS: u32 = 8;
/// The longest time for which events are gathered, however slow the last sync was.
const GROUP_TIME_MAX: Duration = Duration::from_millis(100);

/// The time for which the memory of the process, which INFO tells, counts as known.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

/// After so long a time without a sync the store is told that it may rest.
const REST_AFTER: Duration = Duration::from_secs(1);

/// The owner of the machine and the store.
pub(crate) struct Core {
    machine: Machine,
    store: Box<dyn Store>,
    events: flume::Receiver<Event>,
    clock: Clock,
    catch_up: CatchUp,
    turned_away: Arc<TurnedAway>,
    /// The time of a judgement of which a part is left.
    judging: Option<Duration>,
    /// True until the server stops.
    listens: bool,
    connections: HashMap<ConnectionId, Client>,
    last_sync: Duration,
    /// When the last sync ended; `None` once the store was told that it may rest.
    synced_at: Option<Instant>,
    /// The time at which the machine was last told the memory of the process.
    memory_known: Option<Duration>,
}

impl Core {
    pub(crate) fn new(
        machine: Machine,
        store: Box<dyn Store>,
        events: flume::Receiver<Event>,
        clock: Clock,
        catch_up: CatchUp,
        turned_away: Arc<TurnedAway>,
    ) -> Self {
        Self {
            machine,
            store,
            events,
            clock,
            catch_up,
            turned_away,
            judging: None,
            listens: true,
            connections: HashMap::new(),
            last_sync: Duration::ZERO,
            synced_at: None,
            memory_known: None,
        }
    }

    /// Runs until the last sender of events is gone. After a shutdown the connections are the last
    /// senders, so that their undelivered jobs still return to their queues.
    ///
    /// # Errors
    /// Where the store fails. No command is answered after that, because it is unknown which
    /// changes reached the disk.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let mut more = false;
        loop {
            self.note_written();
            let wait = if more { Duration::ZERO } else { self.wait() };
            let first = match self.events.recv_timeout(wait) {
                Ok(event) => Some(event),
                Err(flume::RecvTimeoutError::Timeout) => None,
                Err(flume::RecvTimeoutError::Disconnected) => return self.deliver(),
            };
            let began = Instant::now();
            if let Some(event) = first {
                self.apply(event)?;
            }
            let ends =
                began + (self.last_sync * GROUP_TIME_SYNCS).clamp(GROUP_TIME_MIN, GROUP_TIME_MAX);
            for _ in 1..GROUP_MAX {
                if Instant::now() >= ends {
                    break;
                }
                let Ok(event) = self.events.try_recv() else { break };
                self.apply(event)?;
            }
            more = self.advance()?;
            self.deliver()?;
            if self.synced_at.is_some_and(|at| at.elapsed() >= REST_AFTER) {
                self.synced_at = None;
                self.store.rest();
            }
        }
    }

    fn now(&mut self) -> Now {
        self.clock.now()
    }

    /// The time until there is something to do.
    fn wait(&mut self) -> Duration {
        let now = self.now();
        let judgement = self.catch_up.wait(now.monotonic, self.machine.next_judgement(now));
        self.machine.next_work(now).min(judgement).min(LOOK_EVERY)
    }

    /// Does what is due. Silent workers and reservations that are over are judged only when every
    /// connection has read what had arrived before.
    fn advance(&mut self) -> Result<bool, StoreError> {
        let now = self.now();
        let mut more = self.machine.work(&mut *self.store, now)?;
        let held_up = self.held_up();
        let finished = || self.catch_up.finished(now.monotonic, held_up, || self.events.len());
        if let Some(as_of) = self.judging.take().or_else(finished) {
            if self.machine.judge(&mut *self.store, now, as_of)? {
                (self.judging, more) = (Some(as_of), true);
            }
        } else if self.catch_up.may_begin(now.monotonic)
            && self.machine.must_judge(&*self.store, now)?
        {
            self.catch_up.begin(now.monotonic, self.listens);
        }
        Ok(more)
    }

    /// What holds up the commands that have been taken in.
    fn held_up(&self) -> HeldUp {
        if self.machine.has_runnable() {
            HeldUp::AtWork
        } else if self.machine.has_held_up() {
            HeldUp::NoRoom
        } else {
            HeldUp::Nothing
        }
    }

    /// Tells the machine which replies have been written. Where something waits for room, the
    /// connections are asked first to tell of more, so that none is missed.
    fn note_written(&mut self) {
        let connections = &self.connections;
        if self.machine.waits_for_room() {
            for client in self.machine.owing().filter_map(|id| connections.get(&id)) {
                client.written.await_more();
            }
        }
        self.machine
            .note_written(|id| connections.get(&id).map_or(0, |client| client.written.get()));
    }

    fn apply(&mut self, event: Event) -> Result<(), StoreError> {
        let now = self.now();
        self.catch_up.took_event();
        match event {
            Event::Opened { connection, hello, client } => {
                self.catch_up.opened(connection);
                self.connections.insert(connection, client);
                self.machine.connect(now, connection, &hello);
            }
            Event::Request { connection, request, reserved } => {
                if let Some(client) = self.connections.get_mut(&connection) {
                    client.unanswered.push_back(reserved);
                }
                if matches!(request, Ok(Command::Info)) {
                    self.note_memory(now.monotonic);
                    self.machine.set_broker_counts(self.turned_away.counts());
                }
                self.machine.submit(&mut *self.store, now, connection, request)?;
            }
            Event::CaughtUp { connection, round, sends_on } => {
                if sends_on {
                    self.machine.hear(now, connection);
                }
                self.catch_up.answered(connection, round);
            }
            Event::Accepted { round, last } => self.catch_up.accepted(round, last),
            Event::InputEnded { connection } => {
                self.catch_up.left(connection);
                self.machine.input_ended(&mut *self.store, now, connection)?;
            }
            Event::Closed { connection, undelivered } => {
                self.catch_up.left(connection);
                self.connections.remove(&connection);
                if !undelivered.is_empty() {
                    tracing::info!(
                        jobs = undelivered.len(),
                        "a connection ended before its jobs were delivered; the jobs have \
                         returned to the front of their queues"
                    );
                }
                self.machine.disconnect(&mut *self.store, now, connection, &undelivered)?;
            }
            Event::Wrote => {}
            Event::ShutDown => {
                self.listens = false;
                self.machine.shut_down();
            }
        }
        Ok(())
    }

    /// Tells the machine the memory of the process, where that is not known from just before: the
    /// system is asked by some calls.
    fn note_memory(&mut self, now: Duration) {
        if self.memory_known.is_none_or(|at| now.saturating_sub(at) >= MEMORY_EVERY) {
            self.memory_known = Some(now);
            self.machine.set_used_memory_mb(resident_mb());
        }
    }

    /// Sends the answers that need no sync, syncs where other answers need it, and sends the
    /// others. Jobs in answers that can't be sent return to their queues, which can give more
    /// answers.
    fn deliver(&mut self) -> Result<(), StoreError> {
        loop {
            let mut outputs = self.machine.take_outputs();
            self.store.commit()?;
            let mut undeliverable = Vec::new();
            if self.machine.take_unsynced() {
                outputs = self.send_before_sync(outputs, &mut undeliverable);
                let began = Instant::now();
                self.store.sync()?;
                self.last_sync = began.elapsed();
                self.synced_at = Some(Instant::now());
            }
            for output in outputs {
                self.send(output, &mut undeliverable);
            }
            if undeliverable.is_empty() {
                return Ok(());
            }
            let now = self.now();
            self.machine.undeliverable(&mut *self.store, now, &undeliverable)?;
        }
    }

    /// Sends the answers that need no sync, and gives the others back. An answer behind one that
    /// waits for the sync waits too, since a connection's answers keep their order.
    fn send_before_sync(
        &mut self,
        outputs: Vec<Output>,
        undeliverable: &mut Vec<Reservation>,
    ) -> Vec<Output> {
        let mut waiting: HashSet<ConnectionId> = HashSet::new();
        let mut after_sync = Vec::with_capacity(outputs.len());
        for output in outputs {
            let (connection, must_wait) = match &output {
                Output::Reply { connection, after_sync, .. } => (*connection, *after_sync),
                Output::Close { connection } => (*connection, false),
            };
            if must_wait || waiting.contains(&connection) {
                waiting.insert(connection);
                after_sync.push(output);
            } else {
                self.send(output, undeliverable);
            }
        }
        after_sync
    }

    fn send(&mut self, output: Output, undeliverable: &mut Vec<Reservation>) {
        let (connection, outgoing) = match output {
            Output::Reply { connection, reply, reservation, bytes, .. } => {
                (connection, Outgoing::Reply { reply, reservation, bytes })
            }
            Output::Close { connection } => {
                self.catch_up.left(connection);
                (connection, Outgoing::Close)
            }
        };
        let unsent = match self.connections.get_mut(&connection) {
            // The channel has room for every answer that the connection may wait for, so a full
            // channel means that the connection no longer takes answers.
            Some(client) => {
                client.unanswered.pop_front();
                client.replies.try_send(outgoing).err().map(mpsc::error::TrySendError::into_inner)
            }
            None => Some(outgoing),
        };
        if let Some(Outgoing::Reply { reservation: Some(reservation), .. }) = unsent {
            undeliverable.push(reservation);
        }
    }
}

/// The resident memory of the process in MB, as Linux reports it; 0 on other systems.
fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 =
        statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096 / 1_000_000
}
