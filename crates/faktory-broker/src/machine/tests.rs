//! The machine without sockets, clocks or files: time is what the test says it is.

use std::time::Duration;

use faktory_wire::{Command, Hello, Info, Job, Reply, Timestamp};

use super::{ConnectionId, Machine, Now, Output, Reservation};
use crate::store::{MemoryStore, Store, Table};

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);

/// A machine on a store in memory, and the time.
struct World {
    machine: Machine,
    store: MemoryStore,
    now: Now,
    said: Vec<(ConnectionId, Reply, Option<Reservation>)>,
    closed: Vec<ConnectionId>,
}

impl World {
    fn new() -> Self {
        let mut store = MemoryStore::default();
        let machine = Machine::open(&mut store, 7, 1000).unwrap();
        let now = Now {
            wall: Timestamp::parse("2026-01-02T03:04:05Z").unwrap(),
            monotonic: Duration::ZERO,
        };
        let mut world = Self { machine, store, now, said: Vec::new(), closed: Vec::new() };
        world.connect(A, None);
        world.connect(B, None);
        world
    }

    fn connect(&mut self, connection: ConnectionId, wid: Option<&str>) {
        self.machine.connect(
            self.now,
            connection,
            &Hello { wid: wid.map(Into::into), ..Hello::default() },
        );
    }

    /// A crash: only what was synced survives.
    fn reopen(&mut self) {
        self.store.crash();
        self.machine = Machine::open(&mut self.store, 8, 1000).unwrap();
        self.connect(A, None);
        self.connect(B, None);
    }

    /// As the core does: synced where an answer promises it, then answered.
    fn collect(&mut self) {
        if self.machine.take_unsynced() {
            self.store.sync().unwrap();
        }
        for output in self.machine.take_outputs() {
            match output {
                Output::Reply { connection, reply, reservation, .. } => {
                    self.said.push((connection, reply, reservation))
                }
                Output::Close { connection } => self.closed.push(connection),
            }
        }
    }

    fn send(&mut self, connection: ConnectionId, line: &str) {
        self.machine
            .submit(&mut self.store, self.now, connection, Command::parse(line.as_bytes()))
            .unwrap();
        self.collect();
    }

    /// Sends a line and expects exactly one reply, to it.
    fn ask(&mut self, line: &str) -> Reply {
        self.send(A, line);
        while self.said.is_empty() && self.machine.next_wake(self.now) == Duration::ZERO {
            self.machine.advance(&mut self.store, self.now).unwrap();
            self.collect();
        }
        let (connection, reply, _) = self.said.remove(0);
        assert_eq!(
            (connection, self.said.len()),
            (A, 0),
            "{line}: {reply:?}, then {:?}",
            self.said
        );
        reply
    }

    fn pass(&mut self, duration: Duration) {
        self.now.wall = self.now.wall.plus(duration);
        self.now.monotonic += duration;
        while self.machine.advance(&mut self.store, self.now).unwrap() {}
        self.collect();
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

#[test]
fn args_are_handed_out_byte_for_byte() {
    let mut world = World::new();
    let args = r#"[9007199254740993,1.0,{"b":1,"a":2},"<&>\ud800"]"#;
    world.ask(&format!(r#"PUSH {{"jid":"job-00000001","jobtype":"t","args":{args}}}"#));
    assert_eq!(world.fetch().args_json(), args);
}

#[test]
fn a_push_wakes_whoever_waited_longest() {
    let mut world = World::new();
    world.send(B, "FETCH other default");
    world.send(A, "FETCH default");
    world.machine.connect(world.now, ConnectionId(3), &Hello::default());
    world.send(ConnectionId(3), r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
    let to: Vec<_> = world.said.iter().map(|(connection, ..)| *connection).collect();
    assert_eq!(to, [ConnectionId(3), B].into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn a_fetch_that_finds_nothing_is_answered_after_two_seconds_and_holds_up_what_follows() {
    let mut world = World::new();
    world.send(A, "FETCH default");
    world.send(A, "FLUSH");
    world.pass(Duration::from_millis(1999));
    assert_eq!(world.said, []);
    world.pass(Duration::from_millis(1));
    let replies: Vec<_> = world.said.drain(..).map(|(_, reply, _)| reply).collect();
    assert_eq!(replies, [Reply::Nothing, Reply::OK]);
}

#[test]
fn a_job_that_could_not_be_delivered_goes_back_to_the_front() {
    let mut world = World::new();
    for jid in ["job-00000001", "job-00000002", "job-00000003"] {
        world.push(jid, "");
    }
    world.send(B, "FETCH default");
    world.send(B, "FETCH default");
    let reservations: Vec<_> =
        world.said.drain(..).filter_map(|(_, _, reservation)| reservation).collect();
    world.machine.disconnect(&mut world.store, world.now, B, &reservations).unwrap();
    world.collect();
    let order = [world.fetch().jid, world.fetch().jid, world.fetch().jid];
    assert_eq!(order, ["job-00000001", "job-00000002", "job-00000003"]);
    let info = world.info();
    assert_eq!((info.faktory.total_processed, info.faktory.sets.working), (0, 3));
}

#[test]
fn a_job_that_may_be_run_only_once_and_may_have_arrived_stays_reserved() {
    let mut world = World::new();
    world.push("job-00000001", r#","retry":0"#);
    world.push("job-00000002", r#","retry":1"#);
    world.push("job-00000003", r#","retry":0"#);
    for _ in 0..3 {
        world.send(B, "FETCH default");
    }
    let mut reservations: Vec<_> =
        world.said.drain(..).filter_map(|(_, _, reservation)| reservation).collect();
    for reservation in reservations.iter_mut().take(2) {
        *reservation = reservation.perhaps_arrived();
    }
    world.machine.disconnect(&mut world.store, world.now, B, &reservations).unwrap();
    world.collect();
    assert_eq!([world.fetch().jid, world.fetch().jid], ["job-00000002", "job-00000003"]);
    let info = world.info();
    assert_eq!((info.faktory.total_enqueued, info.faktory.sets.working), (0, 3));
}

#[test]
fn fetches_after_the_end_of_input_are_not_executed_but_other_commands_are() {
    let mut world = World::new();
    world.send(A, "FETCH default");
    world.send(A, r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
    world.send(A, "FETCH default");
    world.machine.input_ended(&mut world.store, world.now, A).unwrap();
    world.collect();
    let replies: Vec<_> = world.said.drain(..).map(|(_, reply, _)| reply).collect();
    assert_eq!(replies, [Reply::Nothing, Reply::OK, Reply::Nothing]);
    world.send(B, "FETCH default");
    assert_eq!(World::job(&world.said[0].1).jid, "job-00000001");
}

#[test]
fn retries_follow_the_count_and_end_in_the_dead_set() {
    let mut world = World::new();
    world.push("job-00000001", r#","retry":2"#);
    let fail = r#"FAIL {"jid":"job-00000001","errtype":"E","message":"m"}"#;
    assert_eq!(world.fetch().failure, None);
    for (count, remaining) in [(0, 2), (1, 1)] {
        assert_eq!(world.ask(fail), Reply::OK);
        assert_eq!(world.info().faktory.sets.retries, 1);
        world.pass(seconds(75));
        let failure = world.fetch().failure.unwrap();
        assert_eq!((failure.retry_count, failure.remaining), (count, remaining));
    }
    assert_eq!(world.ask(fail), Reply::OK);
    let sets = world.info().faktory.sets;
    assert_eq!((sets.retries, sets.dead), (0, 1));
}

#[test]
fn retry_zero_is_gone_and_a_negative_one_dies_at_once() {
    let mut world = World::new();
    world.push("job-00000001", r#","retry":0"#);
    world.push("job-00000002", r#","retry":-1"#);
    for jid in ["job-00000001", "job-00000002"] {
        assert_eq!(world.fetch().jid, jid);
        assert_eq!(world.ask(&format!(r#"FAIL {{"jid":"{jid}"}}"#)), Reply::OK);
    }
    let sets = world.info().faktory.sets;
    assert_eq!((sets.dead, sets.retries, sets.working), (1, 0, 0));
    // 180 days later the dead is let go.
    world.pass(seconds(180 * 86_400 + 1));
    assert_eq!(world.info().faktory.sets.dead, 0);
}

#[test]
fn a_job_whose_reservation_ran_out_is_offered_again() {
    let mut world = World::new();
    world.push("job-00000001", r#","reserve_for":1"#);
    let _ = world.fetch();
    world.pass(seconds(69));
    assert_eq!(
        world.info().faktory.sets.working,
        1,
        "60 s is the shortest reservation, and 10 s are added"
    );
    world.pass(seconds(2));
    let info = world.info();
    assert_eq!(
        (info.faktory.sets.working, info.faktory.sets.retries, info.faktory.total_failures),
        (0, 1, 1)
    );
    assert_eq!(
        world.ask(r#"FAIL {"jid":"job-00000001"}"#),
        Reply::error("Job not found job-00000001")
    );
    world.pass(seconds(45));
    let job = world.fetch();
    assert_eq!(job.failure.unwrap().errtype, "ReservationExpired");
}

#[test]
fn a_job_for_later_comes_when_it_is_due_and_not_before() {
    let mut world = World::new();
    world.push("job-00000001", r#","at":"2026-01-02T03:05:05Z","queue":"late""#);
    assert_eq!(world.info().faktory.queues.len(), 0);
    world.pass(seconds(59));
    assert_eq!(world.info().faktory.sets.scheduled, 1);
    world.send(B, "FETCH late");
    world.pass(seconds(1));
    assert_eq!(World::job(&world.said.remove(0).1).jid, "job-00000001");
}

#[test]
fn an_ack_of_a_repeated_id_releases_the_oldest_reservation() {
    let mut world = World::new();
    world.push("job-00000001", r#","reserve_for":3000,"backtrace":1"#);
    world.push("job-00000001", r#","reserve_for":100,"backtrace":2"#);
    let (first, second) = (world.fetch(), world.fetch());
    assert_eq!((first.backtrace, second.backtrace), (Some(1), Some(2)));
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    // The second expires and comes back: so it was the first that was acknowledged.
    world.pass(seconds(200));
    world.pass(seconds(45));
    assert_eq!(world.fetch().backtrace, Some(2));
    assert_eq!(world.info().faktory.total_processed, 2);
}

#[test]
fn everything_is_there_after_a_crash() {
    let mut world = World::new();
    world.push("job-00000001", r#","queue":"one""#);
    world.push("job-00000002", r#","queue":"one""#);
    world.push("job-00000003", r#","queue":"two""#);
    world.push("job-00000004", r#","at":"2100-01-01T00:00:00Z""#);
    world.ask("FETCH one");
    // Synced with the next answer that promises it.
    world.ask("QUEUE PAUSE two");
    let before = world.info().faktory;
    world.reopen();
    assert_eq!(world.info().faktory, before);
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    assert_eq!(world.info().faktory.sets.working, 0);
    assert_eq!(World::job(&world.ask("FETCH one")).jid, "job-00000002");
    world.send(A, "FETCH two");
    world.pass(seconds(2));
    assert_eq!(world.said.remove(0).1, Reply::Nothing);
}

#[test]
fn a_long_queue_comes_out_in_order_also_after_a_crash() {
    let mut world = World::new();
    for number in 0..700 {
        world.push(&format!("job-{number:08}"), "");
    }
    for number in 0..700 {
        if number == 300 {
            world.reopen();
        }
        assert_eq!(world.fetch().jid, format!("job-{number:08}"));
        // Or the crash would take the unsynced reservations back.
        world.ask(&format!(r#"ACK {{"jid":"job-{number:08}"}}"#));
    }
    assert_eq!(world.info().faktory.total_enqueued, 0);
}

#[test]
fn a_removed_queue_leaves_nothing_behind() {
    let mut world = World::new();
    for number in 0..500 {
        world.push(&format!("job-{number:08}"), "");
    }
    assert_eq!(world.ask("QUEUE REMOVE default"), Reply::OK);
    assert_eq!(world.info().faktory.total_queues, 0);
    world.reopen();
    world.pass(seconds(1));
    world.push("job-after-it", "");
    assert_eq!(world.fetch().jid, "job-after-it");
    assert_eq!(world.ask(r#"ACK {"jid":"job-after-it"}"#), Reply::OK);
    assert_eq!(world.store.range(Table::Bodies, &[0], &[0xFF; 9], 10).unwrap(), []);
    assert_eq!(world.store.range(Table::Queued, &[0], &[0xFF; 13], 10).unwrap(), []);
}

#[test]
fn a_long_mutation_lets_others_work_in_between() {
    let mut world = World::new();
    for number in 0..1000 {
        world.push(&format!("job-{number:08}"), r#","at":"2100-01-01T00:00:00Z""#);
    }
    world.send(A, r#"MUTATE {"cmd":"kill","target":"scheduled"}"#);
    world.send(B, r#"PUSH {"jid":"job-between","jobtype":"t","args":[]}"#);
    assert_eq!(world.said.remove(0).0, B);
    world.pass(Duration::ZERO);
    assert_eq!((world.said.remove(0).0, world.said.len()), (A, 0));
    assert_eq!(world.info().faktory.sets.dead, 1000);
    assert_eq!(world.ask(r#"MUTATE {"cmd":"kill","target":"dead"}"#), Reply::OK);
    assert_eq!(
        world.ask(r#"MUTATE {"cmd":"discard","target":"dead","filter":{"jids":["job-00000007"]}}"#),
        Reply::OK
    );
    assert_eq!(world.info().faktory.sets.dead, 999);
    assert_eq!(world.ask(r#"MUTATE {"cmd":"requeue","target":"dead"}"#), Reply::OK);
    assert_eq!(world.info().faktory.total_enqueued, 1000);
}

#[test]
fn quiet_holds_for_every_connection_of_a_worker() {
    let mut world = World::new();
    let (first, second) = (ConnectionId(11), ConnectionId(12));
    world.connect(first, Some("worker-1"));
    world.connect(second, Some("worker-1"));
    world.send(second, "FETCH default");
    world.send(first, r#"BEAT {"wid":"worker-1","current_state":"quiet"}"#);
    world.said.clear();
    world.push("job-00000001", "");
    assert_eq!(world.said, [], "the waiting FETCH of a quiet worker gets nothing");
    world.pass(seconds(2));
    assert_eq!(world.said.remove(0).1, Reply::Nothing);
    assert_eq!(world.fetch().jid, "job-00000001");
}

#[test]
fn a_silent_worker_loses_its_connections_and_a_beat_keeps_them() {
    let mut world = World::new();
    world.connect(ConnectionId(11), Some("silent"));
    world.connect(ConnectionId(12), Some("alive"));
    for _ in 0..6 {
        world.pass(seconds(15));
        world.send(A, r#"BEAT {"wid":"alive"}"#);
    }
    assert_eq!(world.closed, [ConnectionId(11)]);
}

#[test]
fn more_queues_than_allowed_are_refused() {
    let mut store = MemoryStore::default();
    let machine = Machine::open(&mut store, 7, 2).unwrap();
    let mut world = World { machine, store, ..World::new() };
    world.connect(A, None);
    world.push("job-00000001", r#","queue":"one""#);
    world.push("job-00000001", r#","queue":"two""#);
    let reply = world.ask(r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[],"queue":"three"}"#);
    assert_eq!(
        reply,
        Reply::error("cannot get \"three\" queue: this server keeps at most 2 queues")
    );
}

#[test]
fn a_fetch_is_the_one_command_that_a_crash_may_take_back() {
    let mut world = World::new();
    world.push("job-00000001", "");
    assert_eq!(world.fetch().jid, "job-00000001");
    world.reopen();
    assert_eq!(world.fetch().jid, "job-00000001", "offered again");
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    world.reopen();
    assert_eq!(world.info().faktory.total_processed, 1, "acknowledged for good");
}

#[test]
fn a_repeated_id_in_a_mutation_moves_its_job_once() {
    let mut world = World::new();
    world.push("job-00000001", r#","at":"2100-01-01T00:00:00Z""#);
    world.push("job-00000002", r#","at":"2100-01-01T00:00:00Z""#);
    let mutate = r#"MUTATE {"cmd":"requeue","target":"scheduled","filter":{"jids":["job-00000001","job-00000001"]}}"#;
    assert_eq!(world.ask(mutate), Reply::OK);
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.sets.scheduled), (1, 1));
}

#[test]
fn killing_the_dead_by_an_id_that_many_share_comes_to_an_end() {
    let mut world = World::new();
    for _ in 0..650 {
        world.push("job-00000001", r#","at":"2100-01-01T00:00:00Z""#);
    }
    for target in ["scheduled", "dead"] {
        let mutate = format!(
            r#"MUTATE {{"cmd":"kill","target":"{target}","filter":{{"jids":["job-00000001"]}}}}"#
        );
        assert_eq!(world.ask(&mutate), Reply::OK);
        assert_eq!(world.info().faktory.sets.dead, 650);
    }
}

#[test]
fn a_crash_within_a_flush_is_finished_at_the_next_start() {
    let mut world = World::new();
    for number in 0..5 {
        world.push(&format!("job-{number:08}"), "");
    }
    world.fetch();
    world.machine.flush(&mut world.store).unwrap();
    // The mark is synced before anything is deleted, and what follows is not: the worst moment for
    // a crash.
    world.reopen();
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.sets.working, info.total_queues), (0, 0, 0));
    assert_eq!(
        world.ask(r#"FAIL {"jid":"job-00000000"}"#),
        Reply::error("Job not found job-00000000")
    );
    world.push("job-afterwards", "");
    assert_eq!(world.fetch().jid, "job-afterwards");
}

#[test]
fn jobs_for_later_count_for_the_limit_of_queues_and_are_not_told_of_before() {
    let mut store = MemoryStore::default();
    let machine = Machine::open(&mut store, 7, 2).unwrap();
    let mut world = World { machine, store, ..World::new() };
    world.connect(A, None);
    world.push("job-00000001", r#","queue":"one","at":"2100-01-01T00:00:00Z""#);
    world.push("job-00000002", r#","queue":"two","at":"2100-01-01T00:00:00Z""#);
    let third = r#"PUSH {"jid":"job-00000003","jobtype":"t","args":[],"queue":"three","at":"2100-01-01T00:00:00Z"}"#;
    assert!(matches!(world.ask(third), Reply::Error(text) if text.contains("at most 2 queues")));
    assert_eq!(world.info().faktory.total_queues, 0);
    world.ask(r#"MUTATE {"cmd":"requeue","target":"scheduled"}"#);
    assert_eq!(world.info().faktory.total_queues, 2);
}

#[test]
fn a_name_that_no_queue_can_have_is_not_paused() {
    let mut world = World::new();
    assert_eq!(world.ask("QUEUE PAUSE a/b\"< x"), Reply::OK);
    assert_eq!(world.info().faktory.queues.keys().collect::<Vec<_>>(), ["x"]);
}

#[test]
fn nothing_after_end_is_carried_out() {
    let mut world = World::new();
    world.send(A, "FETCH default");
    world.send(A, "END");
    world.send(A, r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
    world.pass(seconds(2));
    assert_eq!(
        world.said.drain(..).map(|(_, reply, _)| reply).collect::<Vec<_>>(),
        [Reply::Nothing]
    );
    assert_eq!(world.closed, [A]);
    world.send(B, "INFO");
    let Reply::Bulk(body) = world.said.remove(0).1 else { panic!("no INFO") };
    assert_eq!(serde_json::from_slice::<Info>(&body).unwrap().faktory.total_enqueued, 0);
}

#[test]
fn undelivered_jobs_are_all_back_before_the_next_is_handed_out() {
    let mut world = World::new();
    let dying = ConnectionId(11);
    world.connect(dying, None);
    world.push("job-00000001", "");
    world.push("job-00000002", "");
    world.send(dying, "FETCH default");
    world.send(dying, "FETCH default");
    let reservations: Vec<_> =
        world.said.drain(..).filter_map(|(_, _, reservation)| reservation).collect();
    world.send(B, "FETCH default");
    world.machine.disconnect(&mut world.store, world.now, dying, &reservations).unwrap();
    world.collect();
    assert_eq!(World::job(&world.said.remove(0).1).jid, "job-00000001");
}

#[test]
fn an_ack_for_a_job_that_was_put_back_and_had_arrived_ends_it() {
    let mut world = World::new();
    let cut = ConnectionId(11);
    world.connect(cut, None);
    for number in 1..=3 {
        world.push(&format!("job-0000000{number}"), "");
    }
    for _ in 1..=3 {
        world.send(cut, "FETCH default");
    }
    let reservations: Vec<_> = world
        .said
        .drain(..)
        .filter_map(|(_, _, reservation)| reservation.map(Reservation::perhaps_arrived))
        .collect();
    world.machine.disconnect(&mut world.store, world.now, cut, &reservations).unwrap();
    world.collect();
    assert_eq!(world.info().faktory.total_enqueued, 3);
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000002"}"#), Reply::OK);
    check_tables(&world, "after the ACK");
    assert_eq!((world.info().faktory.total_enqueued, world.info().faktory.total_processed), (2, 1));
    // Another of the same id, and one that was handed out again, are not what the ACK is for.
    assert_eq!(World::job(&world.ask("FETCH default")).jid, "job-00000001");
    world.push("job-00000002", "");
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000002"}"#), Reply::OK);
    assert_eq!(world.info().faktory.total_enqueued, 2);
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    assert_eq!((world.info().faktory.total_processed, world.info().faktory.sets.working), (2, 0));
    for expected in ["job-00000003", "job-00000002"] {
        assert_eq!(World::job(&world.ask("FETCH default")).jid, expected);
    }
    check_tables(&world, "at the end");
}

/// What the tables hold, counted; what the counters say must be the same.
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
}

/// Random commands against the machine and a simple account of where each job must be, with crashes
/// in between that take back what was not synced.
#[test]
fn no_job_is_lost_or_doubled_whatever_happens() {
    for seed in 0..25 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let (mut waiting, mut reserved, mut later, mut finished) =
            (Vec::new(), Vec::new(), Vec::new(), 0_u64);
        // Fetched since the last sync: a crash takes these back.
        let mut unsynced: Vec<String> = Vec::new();
        // Some seeds build queues far longer than what is kept at hand.
        let pushes = if seed % 2 == 0 { 1 } else { 40 };
        for step in 0..300 {
            match random.u8(0..14) {
                0..=3 => {
                    for n in 0..random.usize(1..=pushes) {
                        let jid = format!("job-{seed}-{step:06}-{n}");
                        world.push(&jid, r#","reserve_for":86400"#);
                        waiting.push(jid);
                    }
                    unsynced.clear();
                }
                4..=6 if !waiting.is_empty() => {
                    let jid = world.fetch().jid;
                    assert!(waiting.contains(&jid), "seed {seed}: {jid} was handed out twice");
                    waiting.retain(|other| *other != jid);
                    unsynced.push(jid.clone());
                    reserved.push(jid);
                }
                7 if !reserved.is_empty() => {
                    let jid = reserved.swap_remove(random.usize(..reserved.len()));
                    world.ask(&format!(r#"ACK {{"jid":"{jid}"}}"#));
                    finished += 1;
                    unsynced.clear();
                }
                8 if !waiting.is_empty() => {
                    for _ in 0..random.usize(1..=waiting.len().min(5)) {
                        world.send(B, "FETCH default");
                    }
                    let reservations: Vec<_> = world
                        .said
                        .drain(..)
                        .filter_map(|(_, _, reservation)| reservation)
                        .collect();
                    world
                        .machine
                        .disconnect(&mut world.store, world.now, B, &reservations)
                        .unwrap();
                    world.collect();
                    world.connect(B, None);
                    unsynced.clear();
                }
                9 if !reserved.is_empty() => {
                    let jid = reserved.swap_remove(random.usize(..reserved.len()));
                    world.ask(&format!(r#"FAIL {{"jid":"{jid}"}}"#));
                    // Longer than the backoff of a job that failed a few times, and all of it
                    // within a reservation.
                    world.pass(seconds(1500));
                    waiting.push(jid);
                    finished += 1;
                    unsynced.clear();
                }
                10 => {
                    let jid = format!("job-{seed}-{step:06}-later");
                    world.push(&jid, r#","reserve_for":86400,"at":"2100-01-01T00:00:00Z""#);
                    later.push(jid);
                    unsynced.clear();
                }
                11 if !later.is_empty() => {
                    let jid = later.swap_remove(random.usize(..later.len()));
                    world.ask(&format!(r#"MUTATE {{"cmd":"requeue","target":"scheduled","filter":{{"jids":["{jid}"]}}}}"#));
                    waiting.push(jid);
                    unsynced.clear();
                }
                12 if random.u8(0..3) == 0 => {
                    world.reopen();
                    reserved.retain(|jid| !unsynced.contains(jid));
                    waiting.append(&mut unsynced);
                }
                13 if random.u8(0..12) == 0 => {
                    world.ask("QUEUE REMOVE default");
                    world.pass(Duration::ZERO);
                    waiting.clear();
                    unsynced.clear();
                }
                _ => {}
            }
            let context = format!("seed {seed} step {step}");
            let info = world.info().faktory;
            let account =
                (waiting.len() as u64, reserved.len() as u64, later.len() as u64, finished);
            assert_eq!(
                (info.total_enqueued, info.sets.working, info.sets.scheduled, info.total_processed),
                account,
                "{context}"
            );
            check_tables(&world, &context);
        }
    }
}
