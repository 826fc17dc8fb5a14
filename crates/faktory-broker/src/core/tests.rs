//! What the core answers before a sync, and what after it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::*;
use crate::config::BrokerConfig;
use crate::store::{Batch, MemoryStore, Pair, Table};

/// A store whose records become durable when the test says so.
struct Distant {
    store: MemoryStore,
    /// Gets the number of a record that is to become durable.
    asked: flume::Sender<u64>,
    durable: Arc<AtomicU64>,
    number: u64,
    has_room: Arc<AtomicBool>,
}

impl Store for Distant {
    fn get(&self, table: Table, name: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(table, name)
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

    fn uncommitted_bytes(&self) -> usize {
        self.store.uncommitted_bytes()
    }

    fn commit(&mut self) -> Result<u64, StoreError> {
        if self.has_room.load(Ordering::SeqCst) {
            self.number = self.store.commit()?;
            Ok(self.number)
        } else {
            Err(StoreError::NoRoom("the disk is full".into()))
        }
    }

    fn flush(&mut self) {
        let _ = self.asked.send(self.number);
    }

    fn durable(&self) -> Result<u64, StoreError> {
        Ok(self.durable.load(Ordering::SeqCst))
    }

    fn is_distant(&self) -> bool {
        true
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.commit()?;
        self.flush();
        while self.durable()? < self.number {
            std::thread::yield_now();
        }
        Ok(())
    }

    fn replace_all(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.store.replace_all(batch)
    }
}

fn open(events: &flume::Sender<Event>, id: u64) -> (ConnectionId, Answers) {
    let (replies, receiver) = mpsc::channel(1000);
    let connection = ConnectionId(id);
    let client = Client::new(replies, WrittenBytes::default());
    events.send(Event::Opened { connection, hello: Box::default(), client }).unwrap();
    (connection, Answers { receiver, taken: VecDeque::new() })
}

fn say(events: &flume::Sender<Event>, connection: ConnectionId, line: &str) {
    let requests = vec![Request { command: Command::parse(line.as_bytes()), reserved: None }];
    events.send(Event::Requests { connection, requests }).unwrap();
}

/// What a connection is told.
struct Answers {
    receiver: mpsc::Receiver<Vec<Outgoing>>,
    taken: VecDeque<Outgoing>,
}

impl Answers {
    fn try_next(&mut self) -> Option<Outgoing> {
        if let Ok(outgoing) = self.receiver.try_recv() {
            self.taken.extend(outgoing);
        }
        self.taken.pop_front()
    }

    fn next(&mut self) -> Option<Outgoing> {
        if self.taken.is_empty() {
            self.taken = self.receiver.blocking_recv()?.into();
        }
        self.taken.pop_front()
    }
}

fn reply(answers: &mut Answers) -> Reply {
    match answers.next() {
        Some(Outgoing::Reply { reply, .. }) => reply,
        other => panic!("{other:?}"),
    }
}

/// A core above such a store.
struct World {
    events: flume::Sender<Event>,
    asked: flume::Receiver<u64>,
    durable: Arc<AtomicU64>,
    has_room: Arc<AtomicBool>,
    awaits_store: Arc<AwaitsStore>,
    core: std::thread::JoinHandle<Result<(), StoreError>>,
}

impl World {
    fn new() -> Self {
        let (asked, is_asked) = flume::unbounded();
        let (durable, has_room) =
            (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicBool::new(true)));
        let store = MemoryStore::default();
        let (is_durable, room) = (Arc::clone(&durable), Arc::clone(&has_room));
        let mut store = Distant { store, asked, durable: is_durable, number: 0, has_room: room };
        let machine = Machine::open(&mut store, 1, 10).unwrap();
        durable.store(is_asked.recv().unwrap(), Ordering::SeqCst);
        let (events, received) = flume::bounded(100);
        let awaits_store = Arc::new(AwaitsStore::default());
        let awaits = Arc::clone(&awaits_store);
        let core = std::thread::spawn(move || {
            let (catch_up, _) = CatchUp::new(Duration::from_secs(2));
            let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "/none".into());
            let counts = Arc::new(TurnedAway::new(&config));
            let (store, clock) = (Box::new(store), Clock::system());
            Core::new(machine, store, received, clock, catch_up, counts, awaits).run()
        });
        Self { events, asked: is_asked, durable, has_room, awaits_store, core }
    }

    /// The number of the record that is to become durable next.
    fn asked(&self) -> u64 {
        self.asked.recv().unwrap()
    }

    fn make_durable(&self, number: u64) {
        self.durable.store(number, Ordering::SeqCst);
        self.wake();
    }

    /// What the store calls whenever it has done something.
    fn wake(&self) {
        if self.awaits_store.take() {
            self.events.send(Event::Durable).unwrap();
        }
    }

    fn end(self) {
        self.durable.store(u64::MAX, Ordering::SeqCst);
        drop(self.events);
        self.core.join().unwrap().unwrap();
    }

    /// Waits until the core has taken in all that was sent.
    fn settle(&self) {
        let (connection, mut receiver) = open(&self.events, fastrand::u64(100..));
        say(&self.events, connection, "FETCH nothing");
        self.events.send(Event::InputEnded { connection }).unwrap();
        reply(&mut receiver);
    }
}

fn push(events: &flume::Sender<Event>, connection: ConnectionId, number: usize) {
    let line = format!(r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":[]}}"#);
    say(events, connection, &line);
}

#[test]
fn a_push_is_answered_after_the_sync_and_a_fetch_before_it() {
    let world = World::new();
    let (pusher, mut to_pusher) = open(&world.events, 1);
    let (fetcher, mut to_fetcher) = open(&world.events, 2);
    say(&world.events, fetcher, "FETCH default");
    push(&world.events, pusher, 1);
    // The job is handed out while the sync waits. The answer to the push waits for the sync.
    assert!(matches!(reply(&mut to_fetcher), Reply::Bulk(_)));
    let number = world.asked();
    assert!(to_pusher.try_next().is_none());
    world.make_durable(number);
    assert_eq!(reply(&mut to_pusher), Reply::OK);
    world.end();
}

#[test]
fn commands_that_arrive_while_a_record_is_under_way_share_the_next() {
    let world = World::new();
    let (pusher, mut to_pusher) = open(&world.events, 1);
    push(&world.events, pusher, 1);
    let first = world.asked();
    for number in 2..52 {
        push(&world.events, pusher, number);
    }
    world.settle();
    // The store has done something else. The core waits on, and can be woken again.
    world.wake();
    world.settle();
    assert!(world.awaits_store.is_set());
    assert!(world.asked.is_empty() && to_pusher.try_next().is_none());
    world.make_durable(first);
    assert_eq!(reply(&mut to_pusher), Reply::OK);
    let second = world.asked();
    world.settle();
    assert!(to_pusher.try_next().is_none(), "the other answers wait for the second record");
    world.make_durable(second);
    for _ in 0..50 {
        assert_eq!(reply(&mut to_pusher), Reply::OK);
    }
    assert!(world.asked.is_empty(), "two records for all");
    world.end();
}

#[test]
fn a_short_job_does_not_wait_for_the_second_of_two_long_ones() {
    let world = World::new();
    let (others, mut to_others): (Vec<_>, Vec<_>) =
        (1..3).map(|id| open(&world.events, id)).unzip();
    let (pusher, mut to_pusher) = open(&world.events, 3);
    for (number, other) in others.iter().enumerate() {
        let args = "x".repeat(3 << 20);
        let job = format!(r#"{{"jid":"long-{number:08}","jobtype":"t","args":["{args}"]}}"#);
        say(&world.events, *other, &format!("PUSHB [{job}]"));
    }
    let first = world.asked();
    push(&world.events, pusher, 1);
    world.settle();
    world.make_durable(first);
    assert!(matches!(reply(&mut to_others[0]), Reply::Bulk(_)));
    let second = world.asked();
    world.settle();
    assert!(to_pusher.try_next().is_none());
    world.make_durable(second);
    assert_eq!(reply(&mut to_pusher), Reply::OK);
    assert!(to_others[1].try_next().is_none(), "the second long job has a record of its own");
    let third = world.asked();
    assert!(to_others[1].try_next().is_none());
    world.make_durable(third);
    assert!(matches!(reply(&mut to_others[1]), Reply::Bulk(_)));
    world.end();
}

#[test]
fn an_answer_that_relies_on_what_is_not_durable_waits_and_answers_keep_their_order() {
    let world = World::new();
    let (first, mut to_first) = open(&world.events, 1);
    let (second, mut to_second) = open(&world.events, 2);
    push(&world.events, first, 1);
    let pushed = world.asked();
    say(&world.events, first, "FETCH default");
    world.settle();
    assert!(to_first.try_next().is_none(), "the job stands behind the answer to its push");
    world.make_durable(pushed);
    assert_eq!(reply(&mut to_first), Reply::OK);
    assert!(matches!(reply(&mut to_first), Reply::Bulk(_)));

    // The second ACK changes nothing; it promises what the first one did.
    say(&world.events, first, r#"ACK {"jid":"job-00000001"}"#);
    let acknowledged = world.asked();
    say(&world.events, second, r#"ACK {"jid":"job-00000001"}"#);
    world.settle();
    assert!(to_first.try_next().is_none() && to_second.try_next().is_none());
    world.make_durable(acknowledged);
    assert_eq!(reply(&mut to_first), Reply::OK);
    assert_eq!(reply(&mut to_second), Reply::OK);
    world.end();
}

#[test]
fn without_room_nothing_is_answered_until_there_is_some() {
    let world = World::new();
    let (pusher, mut to_pusher) = open(&world.events, 1);
    let (fetcher, mut to_fetcher) = open(&world.events, 2);
    world.has_room.store(false, Ordering::SeqCst);
    push(&world.events, pusher, 1);
    push(&world.events, pusher, 2);
    say(&world.events, fetcher, "FETCH default");
    let (other, mut to_other) = open(&world.events, 3);
    say(&world.events, other, "INFO");
    // The core has taken all of that in when it takes the last command out of its channel.
    while !world.events.is_empty() {
        std::thread::yield_now();
    }
    assert!(to_pusher.try_next().is_none() && to_fetcher.try_next().is_none());
    assert!(world.asked.is_empty() && to_other.try_next().is_none());
    world.has_room.store(true, Ordering::SeqCst);
    world.durable.store(u64::MAX, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(reply(&mut to_pusher), Reply::OK);
    }
    assert!(matches!(reply(&mut to_fetcher), Reply::Bulk(_)));
    assert!(matches!(reply(&mut to_other), Reply::Bulk(_)));
    world.end();
}

/// A connection's commands in any order, while records become durable now and then: each answer is
/// that to its command.
#[test]
fn answers_keep_their_order_however_records_become_durable() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::new();
        let (connection, mut receiver) = open(&world.events, 1);
        for number in 0..90 {
            push(&world.events, connection, number);
        }
        let (durable, asked) = (Arc::clone(&world.durable), world.asked.clone());
        let (events, mut waits) = (world.events.downgrade(), random.fork());
        let log = std::thread::spawn(move || {
            while let Ok(number) = asked.recv() {
                for _ in 0..waits.u32(0..200) {
                    std::thread::yield_now();
                }
                durable.store(number, Ordering::SeqCst);
                if let Some(events) = events.upgrade() {
                    let _ = events.try_send(Event::Durable);
                }
            }
        });
        let commands: Vec<_> = (0..90).map(|_| random.bool()).collect();
        for (number, is_fetch) in commands.iter().enumerate() {
            match is_fetch {
                true => say(&world.events, connection, "FETCH default"),
                false => {
                    let line = format!(r#"ACK {{"jid":"job-{number:08}"}}"#);
                    say(&world.events, connection, &line);
                }
            }
        }
        for _ in 0..90 {
            assert_eq!(reply(&mut receiver), Reply::OK);
        }
        for is_fetch in commands {
            let reply = reply(&mut receiver);
            assert_eq!(matches!(reply, Reply::Bulk(_)), is_fetch, "{seed}: {reply:?}");
        }
        let World { events, core, .. } = world;
        drop(events);
        core.join().unwrap().unwrap();
        log.join().unwrap();
    }
}
