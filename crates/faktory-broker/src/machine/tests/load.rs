//! Commands that touch many jobs or bytes: they are carried out in slices, other clients are
//! answered in between, and their own results are right.

use std::collections::BTreeMap;

use faktory_wire::{Info, Refusal, Reply};

use super::{A, B, World, check_tables, seconds};
use crate::machine::ConnectionId;
use crate::machine::work::SLICE_STEPS;

pub(super) const LATER: &str = r#","at":"2100-01-01T00:00:00Z""#;

fn pushb(jobs: impl Iterator<Item = String>) -> String {
    format!("PUSHB [{}]", jobs.collect::<Vec<_>>().join(","))
}

fn job(jid: &str, more: &str) -> String {
    format!(r#"{{"jid":"{jid}","jobtype":"t","args":[]{more}}}"#)
}

fn numbered(count: usize, more: &str) -> String {
    pushb((0..count).map(|number| job(&format!("job-{number:08}"), more)))
}

#[test]
fn a_large_pushb_stores_all_jobs_in_order_and_tells_all_refusals() {
    let mut world = World::new();
    world.syncs = false;
    let jobs = (0..10_000).map(|number| match number % 1000 {
        7 => format!(r#"{{"jid":"job-{number:08}","args":[]}}"#),
        _ => job(&format!("job-{number:08}"), ""),
    });
    let (reply, slices) = world.ask_in_slices(&pushb(jobs), 0);
    assert!(slices >= 50, "{slices}");
    let Reply::Bulk(body) = reply else { panic!("{reply:?}") };
    let refused: BTreeMap<String, String> = serde_json::from_slice(&body).unwrap();
    let expected = (0..10_000).filter(|number| number % 1000 == 7).map(|number| {
        (format!("job-{number:08}"), "jobs must have a jobtype parameter".to_owned())
    });
    assert_eq!(refused, expected.collect());
    for number in (0..10_000).filter(|number| number % 1000 != 7) {
        assert_eq!(world.fetch().jid, format!("job-{number:08}"));
    }
    assert_eq!(world.info().faktory.queues["default"], 0);
    let (reply, _) = world.ask_in_slices(&numbered(2000, ""), 0);
    assert_eq!(reply, Reply::Bulk("{}".into()));
}

#[test]
fn a_pushb_of_large_jobs_is_cut_by_bytes_and_of_many_refusals_too() {
    let mut world = World::new();
    let custom = format!(r#","custom":{{"x":"{}"}}"#, "x".repeat(100 << 10));
    let (_, slices) = world.ask_in_slices(&numbered(100, &custom), 100 << 10);
    assert!(slices >= 9, "{slices}");
    assert_eq!(world.info().faktory.queues["default"], 100);
    let refused = pushb((0..2000).map(|number| format!(r#"{{"jid":"job-{number:08}"}}"#)));
    let (reply, slices) = world.ask_in_slices(&refused, 0);
    assert!(slices >= 20, "the answer is written in slices too: {slices}");
    let Reply::Bulk(body) = reply else { panic!("{reply:?}") };
    assert_eq!(serde_json::from_slice::<BTreeMap<String, String>>(&body).unwrap().len(), 2000);
}

#[test]
fn commands_behind_a_large_pushb_wait_for_it_and_two_take_turns() {
    let mut world = World::new();
    world.send(A, &numbered(3000, ""));
    world.send(A, "INFO");
    world.send(B, &numbered(1100, ""));
    let mut order = Vec::new();
    while world.slice(0) || !world.replies.is_empty() {
        order.extend(world.replies.drain(..).map(|(connection, reply, _)| (connection, reply)));
    }
    let by: Vec<_> = order.iter().map(|(connection, _)| *connection).collect();
    assert_eq!(by, [B, A, A], "the shorter one does not wait for the end of the longer one");
    let Reply::Bulk(info) = &order[2].1 else { panic!("{order:?}") };
    let info: Info = serde_json::from_slice(info).unwrap();
    assert_eq!(info.faktory.total_enqueued, 4100);
}

#[test]
fn an_ack_behind_a_command_in_slices_is_carried_out_before_a_judgement() {
    let mut world = World::new();
    world.push("job-77777777", r#","reserve_for":60"#);
    let _ = world.fetch();
    world.send(A, &numbered(1100, ""));
    assert!(!world.machine.has_runnable(), "a PUSHB alone ends no reservation");
    world.send(A, r#"ACK {"jid":"job-77777777"}"#);
    world.now.monotonic += seconds(75);
    while world.machine.has_runnable() {
        world.machine.work(&mut world.store, world.now).unwrap();
    }
    assert!(!world.machine.judge(&mut world.store, world.now, world.now.monotonic).unwrap());
    world.collect();
    assert_eq!(world.replies.pop(), Some((A, Reply::OK, None)));
    world.replies.clear();
    let info = world.info().faktory;
    assert_eq!((info.total_processed, info.total_failures, info.sets.retries), (1, 0, 0));
}

#[test]
fn an_ack_behind_an_info_in_slices_is_carried_out_before_a_judgement() {
    let mut world = World::new();
    for number in 0..900 {
        world.send(B, &format!("PUSH {}", job("job-77777777", &format!(r#","queue":"{number}""#))));
    }
    world.replies.clear();
    world.machine.work.begin();
    world.machine.work.spend(SLICE_STEPS - 1, 0);
    world.machine.start_info(world.now, A);
    world.send(A, r#"ACK {"jid":"job-00000001"}"#);
    assert!(world.machine.has_runnable());
    while world.slice(0) {}
    assert!(!world.machine.has_runnable());
    assert_eq!(world.replies.pop(), Some((A, Reply::OK, None)));
}

#[test]
fn a_crash_inside_a_large_pushb_leaves_its_first_jobs() {
    let mut world = World::new();
    world.send(A, &numbered(3000, ""));
    world.slice(0);
    world.slice(0);
    world.reopen();
    let stored = world.info().faktory.total_enqueued;
    assert!((400..3000).contains(&stored), "{stored}");
    check_tables(&world, "after the crash");
    for number in 0..stored {
        assert_eq!(world.fetch().jid, format!("job-{number:08}"));
    }
}

#[test]
fn a_large_pushb_that_a_shutdown_interrupts_has_an_unknown_outcome() {
    let mut world = World::new();
    world.send(A, &numbered(3000, ""));
    world.send(B, r#"MUTATE {"cmd":"clear","target":"dead"}"#);
    world.replies.clear();
    world.machine.shut_down();
    world.collect();
    let (connection, reply, _) = world.replies.remove(0);
    let Reply::Error(text) = reply else { panic!("{reply:?}") };
    assert_eq!((connection, Refusal::of(&text)), (A, Refusal::Unknown), "{text}");
}

#[test]
fn the_rest_of_a_large_pushb_of_a_broken_connection_is_dropped() {
    let mut world = World::new();
    world.send(A, &numbered(3000, ""));
    world.disconnect(A, &[]);
    while world.slice(0) {}
    world.connect(A, None);
    assert!(world.info().faktory.total_enqueued < 3000);
    check_tables(&world, "at the end");
}

/// A scheduled job with args of this many bytes, all `a`.
pub(super) fn schedule_large(world: &mut World, bytes: usize) {
    let args = "a".repeat(bytes);
    let line = format!(r#"PUSH {{"jid":"job-large","jobtype":"t","args":["{args}"]{LATER}}}"#);
    assert_eq!(world.ask(&line), Reply::OK);
}

#[test]
fn a_glob_over_a_large_job_stops_inside_the_job_and_is_right_in_the_end() {
    const BYTES: usize = 1 << 20;
    let mut world = World::new();
    schedule_large(&mut world, BYTES);
    world.push("job-00000002", LATER);
    let mutate = |pattern: &str| {
        format!(r#"MUTATE {{"cmd":"kill","target":"scheduled","filter":{{"regexp":"{pattern}"}}}}"#)
    };
    // The text is read once for each 64 of the pattern's tokens.
    let hostile = format!("*{}b*", "a".repeat(1000));
    let (reply, slices) = world.ask_in_slices(&mutate(&hostile), BYTES);
    assert_eq!((reply, world.info().faktory.sets.dead), (Reply::OK, 0));
    assert!(slices >= 15, "{slices}");
    let many_stars = format!("*{}*", "a*".repeat(500));
    assert_eq!(world.ask_in_slices(&mutate(&many_stars), BYTES).0, Reply::OK);
    let info = world.info().faktory.sets;
    assert_eq!((info.dead, info.scheduled), (1, 1));
}

#[test]
fn a_job_type_is_looked_for_in_slices_too() {
    const BYTES: usize = 3 << 20;
    let mut world = World::new();
    let custom = format!(r#"{{"jobtype":"u","x":"{}"}}"#, "x".repeat(BYTES));
    for (jid, kind) in [("job-00000001", "t"), ("job-00000002", "u")] {
        let line = format!(
            r#"PUSH {{"jid":"{jid}","jobtype":"{kind}","args":[],"custom":{custom}{LATER}}}"#
        );
        assert_eq!(world.ask(&line), Reply::OK);
    }
    let line = r#"MUTATE {"cmd":"discard","target":"scheduled","filter":{"jobtype":"u"}}"#;
    let (reply, slices) = world.ask_in_slices(line, BYTES + 100);
    assert_eq!((reply, world.info().faktory.sets.scheduled), (Reply::OK, 1));
    assert!(slices >= 6, "{slices}");
    world.ask(r#"MUTATE {"cmd":"requeue","target":"scheduled"}"#);
    assert_eq!(world.fetch().jid, "job-00000001");
}

#[test]
fn a_job_that_leaves_its_set_while_it_is_matched_is_not_moved_twice() {
    let mut world = World::new();
    schedule_large(&mut world, 3 << 20);
    world.send(A, r#"MUTATE {"cmd":"kill","target":"scheduled","filter":{"regexp":"*b"}}"#);
    world.send(A, r#"MUTATE {"cmd":"kill","target":"scheduled","filter":{"regexp":"*aaa*"}}"#);
    // Another mutation that looks into jobs waits for its turn, and one by ids does not.
    world.send(
        B,
        r#"MUTATE {"cmd":"discard","target":"scheduled","filter":{"jids":["job-large"]}}"#,
    );
    assert_eq!(world.replies.remove(0).0, B);
    while world.slice(4 << 20) {}
    assert_eq!(
        world.replies.drain(..).map(|(_, reply, _)| reply).collect::<Vec<_>>(),
        [Reply::OK, Reply::OK]
    );
    let sets = world.info().faktory.sets;
    assert_eq!((sets.scheduled, sets.dead), (0, 0));
    check_tables(&world, "at the end");
}

#[test]
fn a_mutation_with_many_ids_moves_all_of_them() {
    let mut world = World::new();
    world.syncs = false;
    world.ask_in_slices(&numbered(5000, LATER), 0);
    let ids = (0..5000).chain(0..5000).map(|n| format!(r#""job-{n:08}","none-{n:07}""#));
    let ids = ids.collect::<Vec<_>>().join(",");
    let line =
        format!(r#"MUTATE {{"cmd":"requeue","target":"scheduled","filter":{{"jids":[{ids}]}}}}"#);
    let (reply, slices) = world.ask_in_slices(&line, 0);
    assert!(slices >= 100, "{slices}");
    let info = world.info().faktory;
    assert_eq!((reply, info.queues["default"], info.sets.scheduled), (Reply::OK, 5000, 0));
}

#[test]
fn a_requeue_of_large_jobs_whose_queue_was_removed_is_cut_by_bytes() {
    const BYTES: usize = 1 << 20;
    let mut world = World::new();
    for number in 0..5 {
        let args = "a".repeat(BYTES);
        world.ask(&format!(
            r#"PUSH {{"jid":"job-{number:08}","jobtype":"t","args":["{args}"],"queue":"q"{LATER}}}"#
        ));
    }
    world.ask("QUEUE REMOVE q");
    let line = r#"MUTATE {"cmd":"requeue","target":"scheduled"}"#;
    let (reply, slices) = world.ask_in_slices(line, BYTES);
    assert!(slices >= 5, "{slices}");
    let info = world.info().faktory;
    assert_eq!((reply, info.queues["q"], info.sets.scheduled), (Reply::OK, 5, 0));
    check_tables(&world, "at the end");
}

#[test]
fn queues_are_paused_removed_and_measured_in_slices() {
    let mut world = World::with_max_queues(10_000);
    world.syncs = false;
    let jobs = (0..5000).map(|n| job(&format!("job-{n:08}"), &format!(r#","queue":"q-{n:06}""#)));
    world.ask_in_slices(&pushb(jobs), 0);
    world.now.wall = world.now.wall.plus(seconds(5));
    let names: Vec<_> = (0..5000).map(|n| format!("q-{n:06}")).collect();
    let (reply, slices) = world.ask_in_slices(&format!("QUEUE LATENCY {}", names.join(" ")), 0);
    assert!(slices >= 25, "{slices}");
    let Reply::Bulk(body) = reply else { panic!("{reply:?}") };
    let seconds: BTreeMap<String, f64> = serde_json::from_slice(&body).unwrap();
    assert!(seconds.len() == 5000 && seconds.values().all(|seconds| *seconds == 5.0));
    assert_eq!(world.ask_in_slices("QUEUE PAUSE *", 0).0, Reply::OK);
    assert!(world.machine.queues.after(0, 5000).all(|(_, queue)| queue.paused));
    assert_eq!(world.ask_in_slices("QUEUE RESUME *", 0).0, Reply::OK);
    assert_eq!(World::job(&world.ask("FETCH q-004999")).jid, "job-00004999");
    let (reply, slices) = world.ask_in_slices("QUEUE REMOVE *", 0);
    assert!(slices >= 25, "{slices}");
    // The pushes in between made their queue anew.
    assert_eq!((reply, world.info().faktory.total_queues <= 1), (Reply::OK, true));
}

#[test]
fn an_info_of_many_queues_is_written_in_slices_and_shared_by_those_who_wait() {
    let mut world = World::with_max_queues(50_000);
    world.syncs = false;
    let jobs = (0..40_000).map(|n| job(&format!("job-{n:08}"), &format!(r#","queue":"q{n}""#)));
    world.ask_in_slices(&pushb(jobs), 0);
    let (reply, slices) = world.ask_in_slices("INFO", 0);
    assert!(slices >= 4, "{slices}");
    let Reply::Bulk(body) = reply else { panic!("{reply:?}") };
    let info: Info = serde_json::from_slice(&body).unwrap();
    assert_eq!((info.faktory.queues["q39999"], info.faktory.total_queues), (1, 40_001));
    // An INFO that comes while another is written shows what was answered before it.
    for id in 10..20 {
        world.connect(ConnectionId(id), None);
        world.send(ConnectionId(id), "INFO");
        if id == 15 {
            world.send(B, &format!("PUSH {}", job("job-before-it", r#","queue":"q0""#)));
        }
    }
    while world.slice(0) {}
    let mut bodies = BTreeMap::new();
    for (connection, reply, _) in world.replies.drain(..) {
        if let Reply::Bulk(body) = reply {
            let info: Info = serde_json::from_slice(&body).unwrap();
            bodies.insert(connection.0, (body.as_ptr(), info.faktory.queues["q0"]));
        }
    }
    assert_eq!(bodies.len(), 10);
    assert!((16..20).all(|id| bodies[&id].1 == 2), "{bodies:?}");
    assert!((11..20).all(|id| bodies[&id].0 == bodies[&11].0), "one text for all who waited");
}

#[test]
fn large_infos_that_are_asked_for_at_the_same_time_are_one_text() {
    let mut world = World::with_max_queues(5000);
    world.syncs = false;
    let jobs = (0..4000).map(|n| job(&format!("job-{n:08}"), &format!(r#","queue":"q{n}""#)));
    world.ask_in_slices(&pushb(jobs), 0);
    world.machine.work.meter = (0, 0);
    for id in 10..20 {
        world.connect(ConnectionId(id), None);
        world.send(ConnectionId(id), "INFO");
    }
    assert!(world.machine.work.meter.0 <= 10, "no text is written between commands");
    while world.slice(0) {}
    let mut texts: Vec<_> = Vec::new();
    for (_, reply, _) in world.replies.drain(..) {
        let Reply::Bulk(body) = reply else { panic!("{reply:?}") };
        texts.push(body.as_ptr());
    }
    assert_eq!(texts, [texts[0]; 10]);
}

#[test]
fn a_thousand_waiting_fetches_are_served_in_slices_and_in_their_order() {
    let mut world = World::new();
    for id in 0..1000 {
        world.connect(ConnectionId(100 + id), None);
        world.send(ConnectionId(100 + id), "FETCH default other");
    }
    assert_eq!(world.ask("QUEUE PAUSE default"), Reply::OK);
    world.ask(&numbered(1000, ""));
    world.send(A, "QUEUE RESUME default");
    // A FETCH that comes later does not overtake those that wait.
    world.send(B, "FETCH default");
    while world.slice(0) {}
    let order: Vec<_> = world.replies.drain(..).filter(|(id, ..)| *id != A).collect();
    assert_eq!(order.len(), 1000, "the last one waits on");
    for (number, (connection, reply, _)) in order.iter().enumerate() {
        assert_eq!(*connection, ConnectionId(100 + number as u64));
        assert_eq!(World::job(reply).jid, format!("job-{number:08}"));
    }
}

#[test]
fn the_backlog_of_a_connection_does_not_keep_others_waiting() {
    let mut world = World::new();
    world.send(A, "FETCH default");
    for number in 0..1000 {
        world.send(A, &format!("PUSH {}", job(&format!("job-{number:08}"), r#","queue":"q""#)));
    }
    world.now.monotonic += seconds(2);
    world.slice(0);
    assert!(world.replies.len() < 300, "{}", world.replies.len());
    world.replies.clear();
    world.send(B, "FLUSH");
    assert!(world.replies.iter().any(|(connection, ..)| *connection == B));
    while world.slice(0) {}
    world.replies.clear();
    assert!(world.info().faktory.queues["q"] > 500);
}
