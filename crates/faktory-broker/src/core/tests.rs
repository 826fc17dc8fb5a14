//! What the core answers before a sync, and what after it.

use super::*;
use crate::config::BrokerConfig;
use crate::store::{Batch, MemoryStore, Pair, Table};

/// A store whose syncs wait until the test lets them through.
struct Gated {
    store: MemoryStore,
    /// Gets a message when a sync begins.
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

    fn commit(&mut self) -> Result<(), StoreError> {
        self.store.commit()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let _ = self.begun.send(());
        self.gate.recv().map_err(|error| StoreError::Database(Box::new(error)))?;
        self.store.sync()
    }

    fn replace_all(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.store.replace_all(batch)
    }
}

fn open(events: &flume::Sender<Event>, id: u64) -> (ConnectionId, mpsc::Receiver<Outgoing>) {
    let (replies, receiver) = mpsc::channel(100);
    let connection = ConnectionId(id);
    let client = Client::new(replies, WrittenBytes::default());
    events.send(Event::Opened { connection, hello: Box::default(), client }).unwrap();
    (connection, receiver)
}

fn say(events: &flume::Sender<Event>, connection: ConnectionId, line: &str) {
    events
        .send(Event::Request {
            connection,
            request: Command::parse(line.as_bytes()),
            reserved: None,
        })
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
    let core = std::thread::spawn(move || {
        let (catch_up, _) = CatchUp::new(Duration::from_secs(2));
        let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), "/none".into());
        let counts = Arc::new(TurnedAway::new(&config));
        Core::new(machine, Box::new(store), received, Clock::system(), catch_up, counts).run()
    });

    let (pusher, mut to_pusher) = open(&events, 1);
    let (fetcher, mut to_fetcher) = open(&events, 2);
    say(&events, fetcher, "FETCH default");
    say(&events, pusher, r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
    // The job is handed out while the sync waits. The answer to the push waits for the sync.
    assert!(matches!(reply(&mut to_fetcher), Reply::Bulk(_)));
    syncs.recv().unwrap();
    assert!(to_pusher.try_recv().is_err());
    open_gate.send(()).unwrap();
    assert_eq!(reply(&mut to_pusher), Reply::OK);

    // Commands that arrive during a sync share the next sync: many answers, one more sync.
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
    assert!(to_pusher.try_recv().is_err(), "the other answers wait for the next sync");
    open_gate.send(()).unwrap();
    for _ in 0..50 {
        assert_eq!(reply(&mut to_pusher), Reply::OK);
    }
    drop(events);
    core.join().unwrap().unwrap();
}
