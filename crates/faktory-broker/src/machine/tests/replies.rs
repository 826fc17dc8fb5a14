//! Replies that are not read: nothing more is carried out for their client, and their bytes are
//! bounded in total.

use faktory_wire::{Command, Refusal, Reply};

use super::{A, B, World, seconds};
use crate::machine::work::SLICE_STEPS;
use crate::machine::{ConnectionId, IdLimits, push};

const MIB: u64 = 1 << 20;

/// A push of a job with args of this many bytes.
fn job(jid: &str, bytes: usize, queue: &str) -> String {
    let args = "a".repeat(bytes);
    format!(r#"PUSH {{"jid":"{jid}","jobtype":"t","args":["{args}"],"queue":"{queue}"}}"#)
}

#[test]
fn a_client_that_reads_no_reply_gets_no_further_command_carried_out() {
    let mut world = World::with_max_queues(30_000);
    world.syncs = false;
    let jobs: Vec<_> = (0..20_000)
        .map(|n| {
            format!(r#"{{"jid":"job-{n:08}","jobtype":"t","args":[],"queue":"queue-{n:08}"}}"#)
        })
        .collect();
    world.ask_in_slices(&format!("PUSHB [{}]", jobs.join(",")), 0);
    world.silent.insert(A);
    for _ in 0..100 {
        world.send(A, "INFO");
    }
    while world.slice(0) {}
    assert!((1..5).contains(&world.replies.len()), "{}", world.replies.len());
    assert!(world.unread < 2 * MIB, "{}", world.unread);
    // Others are served.
    world.send(B, &job("job-between", 1, "q"));
    assert_eq!(world.replies.last().unwrap().0, B);
    // A client that reads gets all its answers.
    let mut answers = 0;
    for _ in 0..200 {
        answers += world.replies.drain(..).filter(|(connection, ..)| *connection == A).count();
        world.read_all(A);
        world.silent.insert(A);
        while world.slice(0) {}
    }
    assert_eq!(answers, 100);
}

/// A world of 5,000 queues, so that an INFO is large.
fn with_many_queues() -> World {
    let mut world = World::with_max_queues(10_000);
    world.syncs = false;
    let jobs: Vec<_> = (0..5000)
        .map(|n| {
            format!(r#"{{"jid":"job-{n:08}","jobtype":"t","args":[],"queue":"queue-{n:08}"}}"#)
        })
        .collect();
    world.ask_in_slices(&format!("PUSHB [{}]", jobs.join(",")), 0);
    world
}

/// Clients of which each has a large job unread, until the total is used up.
fn use_up_the_total(world: &mut World) {
    let mut id = 100;
    while !world.machine.replies.is_full() {
        let client = ConnectionId(id);
        world.connect(client, None);
        world.silent.insert(client);
        world.ask(&job("job-00000001", 2 << 20, "large"));
        world.send(client, "FETCH large");
        assert!(matches!(world.replies.remove(0).1, Reply::Bulk(_)));
        id += 1;
    }
}

#[test]
fn where_the_total_is_used_up_large_replies_wait_and_keep_their_turn_and_small_ones_go_on() {
    let mut world = World::new();
    world.syncs = false;
    use_up_the_total(&mut world);
    assert!(world.unread >= 64 * MIB);
    for jid in ["job-first", "job-second"] {
        world.ask(&job(jid, 100 << 10, "large"));
    }
    let (first, second) = (ConnectionId(11), ConnectionId(12));
    for client in [first, second] {
        world.connect(client, None);
        world.send(client, "FETCH large small");
    }
    assert_eq!(world.replies, [], "no room for a large reply");
    assert!(world.machine.waits_for_room());
    // Pushes, ACKs and small jobs go on, also for a FETCH that would rather have the large job.
    world.send(B, &job("job-small", 1, "small"));
    let (client, reply, _) = world.replies.remove(0);
    assert_eq!((client, World::job(&reply).jid.as_str()), (first, "job-small"));
    world.replies.clear();
    world.send(first, r#"ACK {"jid":"job-small"}"#);
    assert_eq!(world.replies.remove(0), (first, Reply::OK, None));
    world.send(first, "FETCH large");
    assert_eq!(world.replies, []);
    // A client of which one reply is unread gets nothing more.
    world.send(ConnectionId(100), "FLUSH");
    assert_eq!(world.replies, []);
    // Its connection ends: there is room, and the FETCH that has waited longest comes first.
    world.disconnect(ConnectionId(100), &[]);
    while world.slice(2 << 20) {}
    let served: Vec<_> =
        world.replies.drain(..).map(|(id, reply, _)| (id, World::job(&reply).jid)).collect();
    assert_eq!(served, [(second, "job-first".to_owned()), (first, "job-second".to_owned())]);
    assert!(!world.machine.waits_for_room());
}

#[test]
fn a_fetch_that_waits_for_room_ends_as_every_fetch_does() {
    let mut world = World::new();
    world.syncs = false;
    use_up_the_total(&mut world);
    world.ask(&job("job-large", 100 << 10, "large"));
    world.send(A, "FETCH large");
    world.advance_time(seconds(2));
    assert_eq!(world.replies.remove(0), (A, Reply::Nothing, None));
    // The job is still the first of its queue.
    world.disconnect(ConnectionId(100), &[]);
    assert_eq!(World::job(&world.ask("FETCH large")).jid, "job-large");
}

#[test]
fn undelivered_jobs_return_where_the_total_was_used_up() {
    let mut world = World::new();
    world.syncs = false;
    let client = ConnectionId(99);
    world.connect(client, None);
    world.silent.insert(client);
    world.ask(&job("job-undelivered", 2 << 20, "large"));
    world.send(client, "FETCH large");
    let undelivered = world.take_reservations();
    use_up_the_total(&mut world);
    world.ask(&job("job-behind-it", 100 << 10, "large"));
    world.send(A, "FETCH large");
    assert_eq!(world.replies, []);
    world.disconnect(client, &undelivered);
    while world.slice(4 << 20) {}
    assert_eq!(World::job(&world.replies.remove(0).1).jid, "job-undelivered");
    assert_eq!(world.replies, []);
}

#[test]
fn a_large_info_waits_for_room_and_is_then_answered() {
    let mut world = with_many_queues();
    use_up_the_total(&mut world);
    world.send(A, "INFO");
    assert!(!world.slice(0), "nothing can go on");
    assert!(world.replies.is_empty());
    world.read_all(ConnectionId(100));
    while world.slice(0) {}
    assert!(matches!(world.replies.remove(0), (A, Reply::Bulk(_), None)));
}

#[test]
fn infos_that_find_no_room_when_they_are_written_wait_without_work() {
    let mut world = with_many_queues();
    use_up_the_total(&mut world);
    // There is room when the INFO begins, and none when it has been written.
    world.read_all(ConnectionId(100));
    world.machine.work.begin();
    world.machine.work.spend(SLICE_STEPS - 1, 0);
    world.machine.start_info(world.now, A);
    world.machine.advance_info(world.now);
    world.silent.insert(ConnectionId(100));
    world.send(B, &job("job-00000002", 2 << 20, "large"));
    world.send(ConnectionId(100), "FETCH large");
    assert!(world.machine.replies.is_full());
    world.replies.clear();
    for _ in 0..100 {
        world.slice(2 << 20);
    }
    assert!(!world.slice(0), "nothing can go on");
    assert!(world.replies.is_empty());
    world.read_all(ConnectionId(100));
    while world.slice(0) {}
    assert!(matches!(world.replies.remove(0), (A, Reply::Bulk(_), None)));
}

#[test]
fn a_worker_is_not_silent_while_its_commands_wait_for_others_to_read_their_replies() {
    let mut world = World::new();
    world.syncs = false;
    let worker = ConnectionId(11);
    world.connect(worker, Some("worker-1"));
    world.silent.insert(worker);
    world.push(
        "job-first",
        &format!(r#","queue":"first","custom":{{"a":"{}"}}"#, "a".repeat(20 << 10)),
    );
    world.send(worker, "FETCH first");
    world.replies.clear();
    use_up_the_total(&mut world);
    world.send(worker, r#"BEAT {"wid":"worker-1"}"#);
    assert_eq!(world.replies, [], "no room");
    assert!(world.machine.has_held_up());
    world.advance_time(seconds(100));
    assert_eq!(world.closed, []);
    world.disconnect(ConnectionId(100), &[]);
    while world.slice(2 << 20) {}
    assert_eq!(world.replies.pop(), Some((worker, Reply::OK, None)));
    assert!(!world.machine.has_held_up());
    world.advance_time(seconds(100));
    assert_eq!(world.closed, [worker]);
}

#[test]
fn a_worker_is_not_silent_while_its_info_waits_for_others_to_read_their_replies() {
    let mut world = with_many_queues();
    let worker = ConnectionId(11);
    world.connect(worker, Some("worker-1"));
    use_up_the_total(&mut world);
    world.send(worker, "INFO");
    world.send(worker, r#"BEAT {"wid":"worker-1"}"#);
    world.slice(0);
    assert!(world.machine.has_held_up() && world.replies.is_empty());
    world.advance_time(seconds(100));
    assert_eq!(world.closed, []);
}

#[test]
fn a_client_that_does_not_read_its_own_replies_holds_up_no_judgement() {
    let mut world = World::new();
    world.syncs = false;
    let worker = ConnectionId(11);
    world.connect(worker, Some("worker-1"));
    world.silent.insert(worker);
    world.ask(&job("job-00000001", 2 << 20, "large"));
    world.send(worker, "FETCH large");
    world.send(worker, r#"BEAT {"wid":"worker-1"}"#);
    assert!(world.machine.waits_for_room() && !world.machine.has_held_up());
    world.advance_time(seconds(100));
    assert_eq!(world.closed, [worker]);
}

/// A PUSHB of so many jobs without a type, with ids of so many bytes.
fn refused_pushb(jobs: usize, jid_bytes: usize) -> String {
    let rest = "x".repeat(jid_bytes - 8);
    let job = |n| format!(r#"{{"jid":"{n:08}{rest}"}}"#);
    format!("PUSHB [{}]", (0..jobs).map(job).collect::<Vec<_>>().join(","))
}

#[test]
fn a_pushb_with_an_id_that_is_too_long_is_refused_as_a_whole_without_the_id() {
    let mut world = World::new();
    for (count, bytes) in [(1, 5 << 20), (3, 1025), (2000, 1025)] {
        let Reply::Error(text) = world.ask(&refused_pushb(count, bytes)) else { panic!("stored") };
        assert_eq!(text, "ERR invalid JSON: jobs must have a jid of at most 1024 bytes");
        // Our link sends the jobs of its callers separately then.
        assert_eq!(Refusal::of(&text), Refusal::WholePush);
    }
    let Reply::Bulk(body) = world.ask(&refused_pushb(1, 1024)) else { panic!("no results") };
    assert!(body.len() > 1024);
}

/// Does all that can be done. A push that is one write is larger than a slice.
fn settle(world: &mut World) {
    loop {
        let more = world.machine.advance(&mut world.store, world.now).unwrap();
        world.collect();
        if !more {
            break;
        }
    }
}

/// Silent clients with these ids send a line.
fn send_silently(world: &mut World, ids: std::ops::Range<u64>, line: &str) {
    for client in ids.map(ConnectionId) {
        world.connect(client, None);
        world.silent.insert(client);
        world.send(client, line);
    }
}

#[test]
fn refusals_that_are_not_read_are_bounded_in_total() {
    let mut world = World::with_max_queues(3000);
    world.syncs = false;
    send_silently(&mut world, 100..190, &refused_pushb(900, 1000));
    settle(&mut world);
    assert!((60 * MIB..70 * MIB).contains(&world.unread), "{}", world.unread);
    world.replies.clear();
    // Jobs that are taken are taken now too, but not a push that may have a large answer.
    let jobs = |count: usize| {
        let job = |n| format!(r#"{{"jid":"job-{n:08}","jobtype":"t","args":[]}}"#);
        format!("PUSHB [{}]", (0..count).map(job).collect::<Vec<_>>().join(","))
    };
    world.send(A, &jobs(1000));
    assert_eq!(world.replies.remove(0), (A, Reply::Bulk("{}".into()), None));
    world.send(B, &refused_pushb(1001, 100));
    assert!(!world.slice(0) && world.replies.is_empty());
    // It has its turn behind those that waited before it.
    (100..150).for_each(|id| world.read_all(ConnectionId(id)));
    settle(&mut world);
    assert!(world.replies.iter().any(|(to, ..)| *to == B));
}

#[test]
fn answers_are_counted_before_they_are_made() {
    let names: Vec<_> = (0..1000).map(|n| format!("{n:01000}")).collect();
    let latency = format!("QUEUE LATENCY {}", names.join(" "));
    // What they may come to, 18 and 6 MB, fits three and eleven times.
    for (line, begun) in [(refused_pushb(3000, 1000), 3), (latency, 11)] {
        let mut world = World::new();
        send_silently(&mut world, 100..115, &line);
        assert_eq!(world.machine.tasks.connections().count(), begun);
        // Each answer makes room for the next command, until what is unread takes all.
        while world.slice(0) {}
        assert_eq!(world.replies.len(), 15);
        assert_eq!(world.machine.replies.reserved, 0);
        send_silently(&mut world, 115..116, &line);
        world.disconnect(ConnectionId(115), &[]);
        assert_eq!(world.machine.replies.reserved, 0, "of a command that was dropped too");
    }
}

#[test]
fn the_answer_to_a_pushb_is_never_larger_than_was_thought() {
    let mut world = World::with_max_queues(1);
    let jobs = [
        r#"{"jid":"\u0001\u0002\u0003\u0004\"\\é\n","jobtype":"t"}"#.to_owned(),
        r#"{"jid":"job-at","jobtype":"t","args":[],"at":"x"}"#.to_owned(),
        format!(r#"{{"jid":"job-at-2","jobtype":"t","args":[],"at":"{}"}}"#, r"\u0001".repeat(999)),
        format!(
            r#"{{"jid":"job-at-3","jobtype":"t","args":[],"queue":"{}"}}"#,
            "\u{10ffff}".repeat(999)
        ),
        format!(r#"{{"jid":"job-at-4","jobtype":"t","args":[],"queue":"{}"}}"#, "x".repeat(2000)),
        r#"{"jid":"job-full","jobtype":"t","args":[],"queue":"other"}"#.to_owned(),
        r#"{"jid":"job-full","jobtype":"t","args":[],"reserve_for":100000}"#.to_owned(),
    ];
    world.push("job-00000001", "");
    for job in jobs {
        let line = format!("PUSHB [{job}]");
        let Ok(Command::PushBulk(jobs)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        let Reply::Bulk(body) = world.ask(&line) else { panic!("{line}") };
        let most = push::answer_bytes(&jobs);
        assert!((3..=most).contains(&body.len()), "{most}: {}", String::from_utf8_lossy(&body));
        assert!(push::may_refuse_any(&jobs, &world.machine.queues), "{line}");
    }
}

#[test]
fn pushes_that_wait_to_reserve_go_in_the_order_in_which_they_began_to_wait() {
    let mut world = World::new();
    // Each may come to more than 40 MiB, so that one has room at a time.
    let line = refused_pushb(7000, 1000);
    send_silently(&mut world, 100..101, &line);
    send_silently(&mut world, 103..104, &line);
    send_silently(&mut world, 102..103, &line);
    // An older connection does not overtake them, and a client that leaves holds nobody up.
    send_silently(&mut world, 99..100, &line);
    world.disconnect(ConnectionId(103), &[]);
    let mut order = Vec::new();
    while order.len() < 3 {
        world.slice(0);
        for (connection, ..) in std::mem::take(&mut world.replies) {
            order.push(connection.0);
            world.read_all(connection);
            // The first one comes again at once, and waits behind the others.
            if connection.0 == 100 {
                world.send(connection, &line);
            }
        }
    }
    assert_eq!(order, [100, 102, 99]);
}

#[test]
fn a_large_push_of_which_no_job_is_refused_waits_for_nobody() {
    let mut world = World::new();
    world.ask(&job("job-00000000", 1, "default"));
    world.syncs = false;
    use_up_the_total(&mut world);
    let of = |n| format!(r#"{{"jid":"job-{n:08}","jobtype":"t","args":[]}}"#);
    let jobs: Vec<_> = (0..5000).map(of).collect();
    world.send(B, &format!("PUSHB [{}]", jobs.join(",")));
    settle(&mut world);
    assert_eq!(world.replies.pop(), Some((B, Reply::Bulk("{}".into()), None)));
}

#[test]
fn a_push_once_of_ids_like_ours_waits_for_nobody_who_does_not_read() {
    let mut world = World::new();
    world.syncs = false;
    world.machine.remember_ids(IdLimits { seconds: 86_400, bytes: 1 << 30 });
    use_up_the_total(&mut world);
    let job = |number: u32| format!(r#"{{"jid":"{number:032x}","jobtype":"t","args":[]}}"#);
    let jobs: Vec<_> = (0..1000).map(job).collect();
    world.send(B, &format!(r#"WF PUSHB {{"jobs":[{}]}}"#, jobs.join(",")));
    while world.slice(0) {}
    assert_eq!(world.replies.drain(..).filter(|(to, ..)| *to == B).count(), 1);
}
