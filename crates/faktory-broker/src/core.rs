//! The core: the thread that owns the machine and the store. It goes on while the store makes a
//! record durable: commands that arrive meanwhile share the next record and its sync. What is
//! answered when is in `core/answers.rs`.

mod answers;
mod room;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use faktory_wire::{Command, CommandError, Hello, Reply};
use foldhash::fast::RandomState;
use tokio::sync::mpsc;

use crate::catch_up::{CatchUp, HeldUp};
use crate::clock::{Clock, LOOK_EVERY};
use crate::command_memory::Reserved;
use crate::machine::{ConnectionId, Machine, Now, Reservation};
use crate::store::{Store, StoreError};
use crate::turned_away::TurnedAway;
use crate::unwritten::WrittenBytes;
use answers::Answers;
pub(crate) use answers::AwaitsStore;
use room::Room;
use waiting::Waiting;

/// A message of a connection, or of the server, to the core.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client finished its handshake.
    Opened { connection: ConnectionId, hello: Box<Hello>, client: Client },
    /// A connection read lines, in this order.
    Requests { connection: ConnectionId, requests: Vec<Request> },
    /// A connection has read all that had arrived when this round of `catch_up.rs` began, or can't
    /// read on. `sends_on`: its client is sending a long line.
    CaughtUp { connection: ConnectionId, round: u64, sends_on: bool },
    /// All connections that waited when this round began have been accepted, up to `last`.
    Accepted { round: u64, last: ConnectionId },
    /// A client sends nothing more.
    InputEnded { connection: ConnectionId },
    /// These jobs are not written, because their client has left. Its connection goes on.
    Withheld { jobs: Vec<Reservation> },
    /// A connection has ended, and these jobs did not reach its client.
    Closed { connection: ConnectionId, undelivered: Vec<Reservation> },
    /// A connection wrote replies, and the core has asked to be told.
    Wrote,
    /// More of what the store was given is durable.
    Durable,
    /// The server stops.
    ShutDown,
}

/// A line that a connection read.
#[derive(Debug)]
pub(crate) struct Request {
    /// The command, or the reason why the line is none.
    pub(crate) command: Result<Command, CommandError>,
    /// The memory of the command. It is free again when the command is answered.
    pub(crate) reserved: Option<Reserved>,
}

/// The core's side of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Has room for a reply to each command that the client may have unanswered.
    replies: mpsc::Sender<Vec<Outgoing>>,
    /// What goes to the connection next.
    outbox: Vec<Outgoing>,
    written: WrittenBytes,
    /// The memory of the commands that are not answered, in their order.
    unanswered: VecDeque<Option<Reserved>>,
    /// The outputs for this connection that wait for the store.
    waiting: usize,
    /// The record for which the last of them waits; `None` for the next one.
    behind: Option<u64>,
}

impl Client {
    pub(crate) const fn new(replies: mpsc::Sender<Vec<Outgoing>>, written: WrittenBytes) -> Self {
        Self {
            replies,
            outbox: Vec::new(),
            written,
            unanswered: VecDeque::new(),
            waiting: 0,
            behind: None,
        }
    }
}

/// A message of the core to a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Send a reply, which counts for this many bytes.
    Reply { reply: Reply, reservations: Vec<Reservation>, bytes: usize },
    /// End the connection when all earlier replies have been sent.
    Close,
}

impl Outgoing {
    /// The jobs in the reply.
    pub(crate) fn into_reservations(self) -> Vec<Reservation> {
        match self {
            Self::Reply { reservations, .. } => reservations,
            Self::Close => Vec::new(),
        }
    }
}

/// The most events that are taken in before the answers to them are looked at.
const GROUP_MAX: usize = 1024;
/// The longest time for which events are taken in while more arrive. It bounds the wait of the
/// first one for its record. A short time also lets answers flow steadily: a distant client sends
/// its next commands when answers arrive, so one large group of answers would be followed by a
/// pause of a round trip.
const GROUP_TIME: Duration = Duration::from_millis(5);

/// Where there is no room for so much, nothing more is done but what clients ask for.
const BACKLOG_BYTES_MAX: usize = 16 << 20;

/// The time for which the memory of the process, which INFO tells, counts as known.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

/// After so long a time without a sync the store is told that it may rest, and again each time: it
/// gives room back little by little.
const REST_EVERY: Duration = Duration::from_secs(1);

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
    connections: HashMap<ConnectionId, Client, RandomState>,
    answers: Answers,
    room: Room,
    waiting: Waiting,
    /// When the last sync ended, or the store was last told that it may rest.
    quiet_since: Instant,
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
        awaits_store: Arc<AwaitsStore>,
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
            connections: HashMap::default(),
            answers: Answers::new(awaits_store),
            room: Room::new(0),
            waiting: Waiting::new(),
            quiet_since: Instant::now(),
            memory_known: None,
        }
    }

    /// Refuses pushes where fewer bytes than these are free on the disk.
    pub(crate) fn keep_free(mut self, bytes: u64) -> Self {
        self.room = Room::new(bytes);
        self
    }

    /// Runs until the last sender of events is gone. After a shutdown the connections are the last
    /// senders, so that their undelivered jobs still return to their queues.
    ///
    /// # Errors
    /// Where the store fails. No command is answered after that, because it is unknown which
    /// changes reached the disk.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let mut more = false;
        self.look_at_disk();
        loop {
            self.note_written();
            let wait = if more { Duration::ZERO } else { self.wait() };
            let is_idle = self.answers.is_idle();
            let first = match self.waiting.next(&self.events, wait, is_idle) {
                Ok(event) => Some(event),
                Err(flume::RecvTimeoutError::Timeout) => None,
                Err(flume::RecvTimeoutError::Disconnected) => return self.finish(),
            };
            if let Some(event) = first {
                let ends = Instant::now() + GROUP_TIME;
                let mut goes_on = self.apply(event)?;
                for _ in 1..GROUP_MAX {
                    if !goes_on || Instant::now() >= ends {
                        break;
                    }
                    let Ok(event) = self.events.try_recv() else { break };
                    goes_on = self.apply(event)?;
                }
            }
            self.look_at_disk();
            more = self.advance()?;
            self.deliver()?;
            self.pace_long_jobs();
            if self.answers.is_idle() && self.quiet_since.elapsed() >= REST_EVERY {
                self.quiet_since = Instant::now();
                // What nobody asked for is in no record yet, and gives no room back before it is.
                if self.store.uncommitted_bytes() == 0 || self.commit()?.is_some() {
                    self.store.rest();
                }
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
        let work = if self.has_too_much() { LOOK_EVERY } else { self.machine.next_work(now) };
        let wait = work.min(judgement).min(LOOK_EVERY);
        self.answers.next_try().map_or(wait, |again| again.min(wait))
    }

    /// Does what is due. Silent workers and reservations that are over are judged only when every
    /// connection has read what had arrived before.
    fn advance(&mut self) -> Result<bool, StoreError> {
        let now = self.now();
        let mut more = false;
        if !self.has_too_much() {
            more = self.machine.work(&mut *self.store, now)?;
        }
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

    /// True where what the machine does by itself has to wait: the store has no room for what was
    /// done already, and more would only fill the memory.
    fn has_too_much(&self) -> bool {
        self.answers.wait().is_some() && self.store.uncommitted_bytes() >= BACKLOG_BYTES_MAX
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

    /// False where answers may go out now.
    fn apply(&mut self, event: Event) -> Result<bool, StoreError> {
        let now = self.now();
        self.catch_up.took_event();
        match event {
            Event::Opened { connection, hello, client } => {
                self.catch_up.opened(connection);
                self.connections.insert(connection, client);
                self.machine.connect(now, connection, &hello);
            }
            Event::Requests { connection, requests } => self.submit(now, connection, requests)?,
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
            Event::Withheld { jobs } => {
                tracing::info!(
                    jobs = jobs.len(),
                    "a client left before its jobs were written; the jobs have returned to the \
                     front of their queues"
                );
                self.machine.undeliverable(&mut *self.store, now, &jobs)?;
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
            Event::Durable => return Ok(false),
            Event::ShutDown => {
                self.listens = false;
                self.machine.shut_down();
            }
        }
        Ok(true)
    }

    fn submit(
        &mut self,
        now: Now,
        connection: ConnectionId,
        requests: Vec<Request>,
    ) -> Result<(), StoreError> {
        for Request { command, reserved } in requests {
            if let Some(client) = self.connections.get_mut(&connection) {
                client.unanswered.push_back(reserved);
            }
            if matches!(command, Ok(Command::Info)) {
                self.note_memory(now.monotonic);
                self.note_refused_pushes();
                self.note_set_aside();
                self.note_remembered();
                self.machine.set_broker_counts(self.turned_away.counts());
            }
            self.machine.submit(&mut *self.store, now, connection, command)?;
            self.note_long_job();
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
}

/// The resident memory of the process in MB, as Linux reports it; 0 on other systems.
fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 =
        statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096 / 1_000_000
}
