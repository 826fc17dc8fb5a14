//! The machine without sockets, clocks or files: a test says what time it is. Here: the machine on
//! a store in memory, as the tests drive it, and the check of all tables.

mod clocks;
mod crashes;
mod fetching;
mod finishing;
mod large_pushes;
mod load;
mod long_ids;
mod many;
mod mending;
mod mutations;
mod once;
mod queues;
mod random;
mod replies;
mod requeueing;
mod returning;
mod surveys;
mod turns;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use faktory_wire::{Command, Hello, Info, Job, Reply, Timestamp};

use super::work::{SLICE_BYTES, SLICE_STEPS};
use super::{ConnectionId, IdLimits, Machine, Now, Output, Reservation, Survey, Tables};
use crate::store::{MemoryStore, Store, Table};

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);

/// A machine on a store in memory, with its time and its outputs.
struct World {
    machine: Machine,
    store: MemoryStore,
    now: Now,
    /// The replies, each with its jobs where it has any.
    replies: Vec<(ConnectionId, Reply, Option<Vec<Reservation>>)>,
    closed: Vec<ConnectionId>,
    /// Clients that read nothing.
    silent: HashSet<ConnectionId>,
    /// The bytes of the replies to each connection.
    answered: HashMap<ConnectionId, u64>,
    /// Those that were written.
    written: HashMap<ConnectionId, u64>,
    /// The bytes of the replies to silent clients.
    unread: u64,
    /// False where the store is not synced: a sync copies it.
    syncs: bool,
    /// What the next clients say that they understand beyond Faktory.
    wf: Option<u32>,
}

impl World {
    fn new() -> Self {
        Self::with_max_queues(1000)
    }

    fn with_max_queues(max_queues: usize) -> Self {
        let mut store = MemoryStore::default();
        let machine = Machine::open(&mut store, 7, max_queues).unwrap();
        let now = Now {
            wall: Timestamp::parse("2026-01-02T03:04:05Z").unwrap(),
            monotonic: Duration::ZERO,
        };
        let mut world = Self {
            machine,
            store,
            now,
            replies: Vec::new(),
            closed: Vec::new(),
            silent: HashSet::new(),
            answered: HashMap::new(),
            written: HashMap::new(),
            unread: 0,
            syncs: true,
            wf: None,
        };
        world.connect(A, None);
        world.connect(B, None);
        world
    }

    fn connect(&mut self, connection: ConnectionId, wid: Option<&str>) {
        let hello = Hello { wid: wid.map(Into::into), wf: self.wf, ..Hello::default() };
        self.machine.connect(self.now, connection, &hello);
    }

    /// A crash: only what was synced survives.
    fn reopen(&mut self) {
        self.store.crash();
        self.machine = Machine::open(&mut self.store, 8, 1000).unwrap();
        self.answered.clear();
        self.written.clear();
        self.connect(A, None);
        self.connect(B, None);
    }

    /// Takes the outputs as the core does: after a sync, where an answer promises one.
    fn collect(&mut self) {
        self.machine.settle(&mut self.store).unwrap();
        if self.machine.take_unsynced() && self.syncs {
            self.store.sync().unwrap();
        }
        for output in self.machine.take_outputs() {
            match output {
                Output::Reply { connection, reply, reservations, bytes, .. } => {
                    let answered = self.answered.entry(connection).or_default();
                    *answered += bytes as u64;
                    if self.silent.contains(&connection) {
                        self.unread += bytes as u64;
                    } else {
                        self.written.insert(connection, *answered);
                    }
                    let jobs = (!reservations.is_empty()).then_some(reservations);
                    self.replies.push((connection, reply, jobs))
                }
                Output::Close { connection } => self.closed.push(connection),
            }
        }
        self.machine.note_written(|id| self.written.get(&id).copied().unwrap_or(0));
    }

    /// A client reads all that it was sent.
    fn read_all(&mut self, connection: ConnectionId) {
        self.silent.remove(&connection);
        self.written.insert(connection, self.answered[&connection]);
        self.machine.note_written(|id| self.written.get(&id).copied().unwrap_or(0));
    }

    /// Carries out one part of the work that goes on. The part is bounded, but for one job.
    fn slice(&mut self, largest_job: usize) -> bool {
        self.machine.work.meter = (0, 0);
        let more = self.machine.advance(&mut self.store, self.now).unwrap();
        let (steps, bytes) = self.machine.work.meter;
        assert!(
            steps <= 2 * SLICE_STEPS && bytes <= 2 * SLICE_BYTES + largest_job,
            "{steps} {bytes}"
        );
        self.collect();
        more
    }

    /// Sends a line on connection A that is carried out in slices, and returns its answer and the
    /// number of slices. After each slice a push on connection B is answered at once.
    fn ask_in_slices(&mut self, line: &str, largest_job: usize) -> (Reply, usize) {
        self.machine.work.meter = (0, 0);
        self.send(A, line);
        let (steps, bytes) = self.machine.work.meter;
        assert!(
            steps <= 2 * SLICE_STEPS && bytes <= 2 * SLICE_BYTES + largest_job,
            "{steps} {bytes}"
        );
        let mut slices = 1;
        while self.replies.is_empty() {
            let jid = format!("between-{slices:06}");
            let push =
                format!(r#"PUSH {{"jid":"{jid}","jobtype":"t","args":[],"queue":"between"}}"#);
            self.send(B, &push);
            assert_eq!(self.replies.remove(0), (B, Reply::OK, None));
            assert!(self.slice(largest_job) || !self.replies.is_empty(), "nothing goes on");
            slices += 1;
        }
        let (connection, reply, _) = self.replies.remove(0);
        assert_eq!((connection, self.replies.len()), (A, 0));
        (reply, slices)
    }

    fn send(&mut self, connection: ConnectionId, line: &str) {
        self.machine
            .submit(&mut self.store, self.now, connection, Command::parse(line.as_bytes()))
            .unwrap();
        self.collect();
    }

    /// Sends a line on connection A and expects exactly one reply, on A.
    fn ask(&mut self, line: &str) -> Reply {
        self.send(A, line);
        while self.replies.is_empty() && self.machine.next_wake(self.now) == Duration::ZERO {
            self.machine.advance(&mut self.store, self.now).unwrap();
            self.collect();
        }
        let (connection, reply, _) = self.replies.remove(0);
        let others = &self.replies;
        assert_eq!((connection, others.len()), (A, 0), "{line}: {reply:?}, then {others:?}");
        reply
    }

    fn advance_time(&mut self, duration: Duration) {
        self.now.wall = self.now.wall.plus(duration);
        self.now.monotonic += duration;
        while self.machine.advance(&mut self.store, self.now).unwrap() {}
        self.collect();
    }

    /// Ends a connection with these undelivered jobs.
    fn disconnect(&mut self, connection: ConnectionId, undelivered: &[Reservation]) {
        self.machine.disconnect(&mut self.store, self.now, connection, undelivered).unwrap();
        self.collect();
    }

    /// Takes all replies, and keeps the jobs in them.
    fn take_reservations(&mut self) -> Vec<Reservation> {
        self.replies.drain(..).filter_map(|(_, _, jobs)| jobs).flatten().collect()
    }

    fn info(&mut self) -> Info {
        match self.ask("INFO") {
            Reply::Bulk(body) => serde_json::from_slice(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn job(reply: &Reply) -> Job {
        match reply {
            Reply::Bulk(body) => Job::parse(body).unwrap(),
            other => panic!("no job: {other:?}"),
        }
    }

    fn fetch(&mut self) -> Job {
        Self::job(&self.ask("FETCH default"))
    }

    fn push(&mut self, jid: &str, more: &str) {
        let reply =
            self.ask(&format!(r#"PUSHB [{{"jid":"{jid}","jobtype":"t","args":[]{more}}}]"#));
        assert_eq!(reply, Reply::Bulk("{}".into()));
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Counts the entries of all tables. The counters of the machine must say the same.
fn check_tables(world: &World, context: &str) {
    let count = |table, prefix: u8| {
        world.store.range(table, &[prefix], &[prefix + 1], usize::MAX).unwrap().len() as u64
    };
    let sets = world.machine.counters.sets;
    let (s, r, d, w) = (b's', b'r', b'd', b'w');
    for table in [Table::Sets, Table::Index] {
        let counted = (count(table, s), count(table, r), count(table, d), count(table, w));
        assert_eq!(
            counted,
            (sets.scheduled, sets.retries, sets.dead, sets.working),
            "{table:?}, {context}"
        );
    }
    let queued =
        world.store.range(Table::Queued, &[0], &[0xFF; 13], usize::MAX).unwrap().len() as u64;
    let bodies =
        world.store.range(Table::Bodies, &[0], &[0xFF; 9], usize::MAX).unwrap().len() as u64;
    assert_eq!(
        bodies,
        queued + sets.scheduled + sets.retries + sets.dead + sets.working,
        "bodies, {context}"
    );
    assert_eq!(survey(&world.store).faults, [""; 0], "{context}");
}

/// What a reader of all tables finds in them.
fn survey(store: &dyn Store) -> Tables {
    let mut survey = Survey::default();
    for table in Table::ALL {
        let pairs = store.range(table, &[], &[0xFF; 30], usize::MAX).unwrap();
        pairs.iter().for_each(|(key, value)| survey.note(key, value));
    }
    survey.end()
}
