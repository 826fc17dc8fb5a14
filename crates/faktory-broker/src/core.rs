//! The thread that owns machine and store. Commands that arrive while a sync is under way share the
//! next one.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use faktory_wire::{Command, CommandError, Hello, Reply, Timestamp};
use tokio::sync::mpsc;

use crate::machine::{ConnectionId, Machine, Now, Output, Reservation};
use crate::store::{Store, StoreError};

/// What connections tell the core.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client said who it is. Its replies go to `replies`, which has room for as many as it may
    /// have unanswered.
    Opened { connection: ConnectionId, hello: Box<Hello>, replies: mpsc::Sender<Outgoing> },
    /// A line came in.
    Request { connection: ConnectionId, request: Result<Command, CommandError> },
    /// The client sends nothing more.
    InputEnded { connection: ConnectionId },
    /// The connection is gone, and these jobs never reached the client.
    Closed { connection: ConnectionId, undelivered: Vec<Reservation> },
    /// The server ends.
    ShutDown,
}

/// What the core tells a connection.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Send this.
    Reply { reply: Reply, reservation: Option<Reservation> },
    /// End when everything before has been sent.
    Close,
}

/// Events handled between two syncs, at the most.
const GROUP_MAX: usize = 1024;
/// How long they may take, or so many times the last sync if that is more. It bounds how long the
/// first of them waits for its answer, and lets answers flow: a client far away sends on as they
/// come, and would otherwise have all its jobs answered at once, and then none for a round trip.
const GROUP_LASTS: Duration = Duration::from_millis(5);
const GROUP_LASTS_SYNCS: u32 = 8;
/// And no longer, however slow the disk is.
const GROUP_LASTS_MAX: Duration = Duration::from_millis(100);

/// See [the module](self).
pub(crate) struct Core {
    pub(crate) machine: Machine,
    pub(crate) store: Box<dyn Store>,
    pub(crate) events: flume::Receiver<Event>,
    pub(crate) started: Instant,
    connections: HashMap<ConnectionId, mpsc::Sender<Outgoing>>,
    last_sync: Duration,
}

impl Core {
    pub(crate) fn new(
        machine: Machine,
        store: Box<dyn Store>,
        events: flume::Receiver<Event>,
    ) -> Self {
        Self {
            machine,
            store,
            events,
            started: Instant::now(),
            connections: HashMap::new(),
            last_sync: Duration::ZERO,
        }
    }

    /// Runs until nobody can tell it anything any more. After a shutdown that is when the last
    /// connection is gone, so that what could not be delivered still goes back.
    ///
    /// # Errors
    /// Where the store fails. Nothing is answered after that: what reached the disk is not known.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let mut more = false;
        loop {
            let wait = if more { Duration::ZERO } else { self.machine.next_wake(self.now()) };
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
                began + (self.last_sync * GROUP_LASTS_SYNCS).clamp(GROUP_LASTS, GROUP_LASTS_MAX);
            for _ in 1..GROUP_MAX {
                if Instant::now() >= ends {
                    break;
                }
                let Ok(event) = self.events.try_recv() else { break };
                self.apply(event)?;
            }
            let now = self.now();
            more = self.machine.advance(&mut *self.store, now)?;
            self.deliver()?;
        }
    }

    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), monotonic: self.started.elapsed() }
    }

    fn apply(&mut self, event: Event) -> Result<(), StoreError> {
        let now = self.now();
        let store = &mut *self.store;
        match event {
            Event::Opened { connection, hello, replies } => {
                self.connections.insert(connection, replies);
                self.machine.connect(now, connection, &hello);
            }
            Event::Request { connection, request } => {
                if matches!(request, Ok(Command::Info)) {
                    self.machine.set_used_memory_mb(resident_mb());
                }
                self.machine.submit(store, now, connection, request)?;
            }
            Event::InputEnded { connection } => self.machine.input_ended(store, now, connection)?,
            Event::Closed { connection, undelivered } => {
                self.connections.remove(&connection);
                if !undelivered.is_empty() {
                    tracing::info!(
                        jobs = undelivered.len(),
                        "a connection ended before its jobs were delivered; they are back in \
                         front of their queues"
                    );
                }
                self.machine.disconnect(store, now, connection, &undelivered)?;
            }
            Event::ShutDown => self.machine.shut_down(),
        }
        Ok(())
    }

    /// Sends what may go out before the sync, syncs where an answer promises it, and sends the
    /// rest. A connection that has one answer waiting for the sync gets the later ones after it.
    fn deliver(&mut self) -> Result<(), StoreError> {
        loop {
            let mut outputs = self.machine.take_outputs();
            let mut lost = Vec::new();
            if self.machine.take_unsynced() {
                let mut waiting: HashSet<ConnectionId> = HashSet::new();
                let mut later = Vec::with_capacity(outputs.len());
                for output in outputs {
                    let (connection, must_wait) = match &output {
                        Output::Reply { connection, after_sync, .. } => (*connection, *after_sync),
                        Output::Close { connection } => (*connection, false),
                    };
                    if must_wait || waiting.contains(&connection) {
                        waiting.insert(connection);
                        later.push(output);
                    } else {
                        self.send(output, &mut lost);
                    }
                }
                let began = Instant::now();
                self.store.sync()?;
                self.last_sync = began.elapsed();
                outputs = later;
            }
            for output in outputs {
                self.send(output, &mut lost);
            }
            if lost.is_empty() {
                return Ok(());
            }
            let now = self.now();
            self.machine.undeliverable(&mut *self.store, now, &lost)?;
        }
    }

    fn send(&self, output: Output, lost: &mut Vec<Reservation>) {
        let (connection, outgoing) = match output {
            Output::Reply { connection, reply, reservation, .. } => {
                (connection, Outgoing::Reply { reply, reservation })
            }
            Output::Close { connection } => (connection, Outgoing::Close),
        };
        let unsent = match self.connections.get(&connection) {
            // There is room for every answer that a connection may wait for; a full channel is one
            // that nobody empties.
            Some(replies) => {
                replies.try_send(outgoing).err().map(mpsc::error::TrySendError::into_inner)
            }
            None => Some(outgoing),
        };
        if let Some(Outgoing::Reply { reservation: Some(reservation), .. }) = unsent {
            lost.push(reservation);
        }
    }
}

/// The process's resident memory, where the system tells it the way Linux does.
fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 =
        statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, MemoryStore, Pair, Table};

    /// A store whose syncs wait until they are let through.
    struct Gated {
        store: MemoryStore,
        /// Told when a sync begins.
        begun: flume::Sender<()>,
        gate: flume::Receiver<()>,
    }

    impl Store for Gated {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.store.get(table, key)
        }

        fn range(
            &self,
            table: Table,
            from: &[u8],
            to: &[u8],
            limit: usize,
        ) -> Result<Vec<Pair>, StoreError> {
            self.store.range(table, from, to, limit)
        }

        fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
            self.store.write(batch)
        }

        fn sync(&mut self) -> Result<(), StoreError> {
            let _ = self.begun.send(());
            self.gate.recv().map_err(|error| StoreError::Database(Box::new(error)))?;
            self.store.sync()
        }

        fn clear(&mut self, table: Table) -> Result<(), StoreError> {
            self.store.clear(table)
        }
    }

    fn open(events: &flume::Sender<Event>, id: u64) -> (ConnectionId, mpsc::Receiver<Outgoing>) {
        let (replies, receiver) = mpsc::channel(100);
        let connection = ConnectionId(id);
        events.send(Event::Opened { connection, hello: Box::default(), replies }).unwrap();
        (connection, receiver)
    }

    fn say(events: &flume::Sender<Event>, connection: ConnectionId, line: &str) {
        events
            .send(Event::Request { connection, request: Command::parse(line.as_bytes()) })
            .unwrap();
    }

    fn reply(receiver: &mut mpsc::Receiver<Outgoing>) -> Reply {
        match receiver.blocking_recv() {
            Some(Outgoing::Reply { reply, .. }) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_push_is_answered_after_the_sync_and_a_fetch_before_it() {
        let (open_gate, gate) = flume::unbounded();
        open_gate.send(()).unwrap();
        let (begun, syncs) = flume::unbounded();
        let mut store = Gated { store: MemoryStore::default(), begun, gate };
        let machine = Machine::open(&mut store, 1, 10).unwrap();
        syncs.recv().unwrap();
        let (events, received) = flume::bounded(100);
        let core = std::thread::spawn(move || Core::new(machine, Box::new(store), received).run());

        let (pusher, mut to_pusher) = open(&events, 1);
        let (fetcher, mut to_fetcher) = open(&events, 2);
        say(&events, fetcher, "FETCH default");
        say(&events, pusher, r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
        // The job is handed out while the sync waits; that it was taken is not promised before the
        // sync is done.
        assert!(matches!(reply(&mut to_fetcher), Reply::Bulk(_)));
        syncs.recv().unwrap();
        assert!(to_pusher.try_recv().is_err());
        open_gate.send(()).unwrap();
        assert_eq!(reply(&mut to_pusher), Reply::OK);

        // What comes while a sync is under way shares the next one: many answers, one more sync.
        say(&events, pusher, r#"ACK {"jid":"job-00000001"}"#);
        syncs.recv().unwrap();
        for number in 0..50 {
            say(
                &events,
                pusher,
                &format!(r#"PUSH {{"jid":"job-1{number:07}","jobtype":"t","args":[]}}"#),
            );
        }
        assert!(to_pusher.try_recv().is_err());
        open_gate.send(()).unwrap();
        assert_eq!(reply(&mut to_pusher), Reply::OK);
        syncs.recv().unwrap();
        assert!(to_pusher.try_recv().is_err(), "the others wait for a sync of their own");
        open_gate.send(()).unwrap();
        for _ in 0..50 {
            assert_eq!(reply(&mut to_pusher), Reply::OK);
        }
        drop(events);
        core.join().unwrap().unwrap();
    }
}
