//! MUTATE, by ids and by scans.

use std::time::Duration;

use faktory_wire::Reply;

use super::{A, B, World, check_tables};
use crate::machine::work::SLICE_BYTES;

#[test]
fn other_clients_are_answered_while_a_long_mutation_goes_on() {
    let mut world = World::new();
    for number in 0..1000 {
        world.push(&format!("job-{number:08}"), r#","at":"2100-01-01T00:00:00Z""#);
    }
    world.send(A, r#"MUTATE {"cmd":"kill","target":"scheduled"}"#);
    world.send(B, r#"PUSH {"jid":"job-between","jobtype":"t","args":[]}"#);
    assert_eq!(world.replies.remove(0).0, B);
    world.advance_time(Duration::ZERO);
    assert_eq!((world.replies.remove(0).0, world.replies.len()), (A, 0));
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
fn a_repeated_id_in_a_mutation_moves_its_job_once() {
    let mut world = World::new();
    world.push("job-00000001", r#","at":"2100-01-01T00:00:00Z""#);
    world.push("job-00000002", r#","at":"2100-01-01T00:00:00Z""#);
    let mutate = concat!(
        r#"MUTATE {"cmd":"requeue","target":"scheduled","#,
        r#""filter":{"jids":["job-00000001","job-00000001"]}}"#
    );
    assert_eq!(world.ask(mutate), Reply::OK);
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.sets.scheduled), (1, 1));
}

#[test]
fn killing_jobs_of_the_dead_set_ends_also_by_an_id_that_many_share() {
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

/// Pushes a job that has this `retry`, and lets it fail.
fn fail_new(world: &mut World, jid: &str, retry: i64) {
    world.send(B, &format!(r#"PUSH {{"jid":"{jid}","jobtype":"t","args":[],"retry":{retry}}}"#));
    fail_queued(world);
}

/// Lets every job fail that waits in the queue.
fn fail_queued(world: &mut World) {
    let id = world.machine.queues.id("default").unwrap();
    while world.machine.queues.get(id).unwrap().length > 0 {
        world.send(B, "FETCH default");
        while !world.replies.iter().any(|(client, ..)| *client == B) {
            world.slice(0);
        }
        let (_, reply, _) = world.replies.pop().unwrap();
        if reply != Reply::OK {
            world.send(B, &format!(r#"FAIL {{"jid":"{}"}}"#, World::job(&reply).jid));
        }
        world.replies.retain(|(client, ..)| *client == A);
    }
}

const SETS: [(&str, i64); 2] = [("dead", -1), ("retries", 25)];

#[test]
fn a_requeue_ends_although_its_jobs_fail_again_and_handles_each_once() {
    for (set, retry) in SETS {
        for filter in ["", r#","filter":{"regexp":"*job*"}"#] {
            let mut world = World::new();
            world.syncs = false;
            for job in 0..450 {
                fail_new(&mut world, &format!("job-{job:08}"), retry);
            }
            world.send(A, &format!(r#"MUTATE {{"cmd":"requeue","target":"{set}"{filter}}}"#));
            let mut slices = 0;
            while world.replies.is_empty() {
                fail_queued(&mut world);
                world.slice(0);
                slices += 1;
                assert!(slices < 20, "{set}{filter}: the mutation goes on and on");
            }
            assert_eq!(world.replies.remove(0), (A, Reply::OK, None));
            fail_queued(&mut world);
            let info = world.info().faktory;
            assert_eq!(info.total_failures, 900, "{set}{filter}");
            assert_eq!(info.sets.dead + info.sets.retries, 450, "{set}{filter}");
            check_tables(&world, set);
        }
    }
}

#[test]
fn a_mutation_leaves_jobs_alone_that_come_into_its_set_after_its_beginning() {
    for (set, retry) in SETS {
        for command in ["clear", "discard", "kill", "requeue"] {
            for filter in ["", r#","filter":{"jids":["job-same"]}"#] {
                let mut world = World::new();
                world.syncs = false;
                for _ in 0..450 {
                    fail_new(&mut world, "job-same", retry);
                }
                let line = format!(r#"MUTATE {{"cmd":"{command}","target":"{set}"{filter}}}"#);
                world.send(A, &line);
                let (mut slices, mut new) = (0, 0);
                while world.replies.is_empty() {
                    // More than a slice handles.
                    for _ in 0..250 {
                        fail_new(&mut world, "job-same", retry);
                        new += 1;
                    }
                    world.slice(0);
                    slices += 1;
                    assert!(slices < 20, "{line}: the mutation goes on and on");
                }
                assert_eq!(world.replies.remove(0), (A, Reply::OK, None));
                let sets = world.info().faktory.sets;
                let killed = if command == "kill" { 450 } else { 0 };
                let again = if command == "requeue" { 450 } else { 0 };
                let failed = sets.dead + sets.retries + world.info().faktory.total_enqueued;
                assert_eq!(failed, new + killed + again, "{line}");
                check_tables(&world, &line);
            }
        }
    }
}

/// Five scheduled jobs whose queue was removed: a requeue reads the body of each, which is a
/// slice's work.
fn with_jobs_of_a_removed_queue() -> World {
    let mut world = World::new();
    world.syncs = false;
    let args = "a".repeat(SLICE_BYTES);
    for job in 0..5 {
        let more = r#""queue":"q","at":"2100-01-01T00:00:00Z""#;
        let line =
            format!(r#"PUSH {{"jid":"job-{job:08}","jobtype":"t","args":["{args}"],{more}}}"#);
        assert_eq!(world.ask(&line), Reply::OK);
    }
    world.ask("QUEUE REMOVE q");
    world
}

/// Has client B do something to one job of a set, at once.
fn do_between(world: &mut World, command: &str, target: &str, jid: &str) {
    let filter = format!(r#"{{"jids":["{jid}"]}}"#);
    world
        .send(B, &format!(r#"MUTATE {{"cmd":"{command}","target":"{target}","filter":{filter}}}"#));
    assert_eq!(world.replies.drain(..).collect::<Vec<_>>(), [(B, Reply::OK, None)]);
}

#[test]
fn a_requeue_in_slices_leaves_jobs_alone_that_others_took_out_of_the_set_meanwhile() {
    let mut world = with_jobs_of_a_removed_queue();
    world.send(A, r#"MUTATE {"cmd":"requeue","target":"scheduled"}"#);
    assert_eq!(world.machine.counters.sets.scheduled, 4, "one job fills a slice");
    do_between(&mut world, "discard", "scheduled", "job-00000003");
    do_between(&mut world, "kill", "scheduled", "job-00000004");
    while world.slice(2 * SLICE_BYTES) {}
    assert_eq!(world.replies.remove(0), (A, Reply::OK, None));
    let info = world.info().faktory;
    assert_eq!((info.queues["q"], info.sets.scheduled, info.sets.dead), (3, 0, 1));
    check_tables(&world, "at the end");
}

#[test]
fn a_requeue_in_slices_leaves_a_job_alone_that_came_back_to_its_place_meanwhile() {
    let mut world = with_jobs_of_a_removed_queue();
    world.ask(r#"MUTATE {"cmd":"kill","target":"scheduled"}"#);
    world.send(A, r#"MUTATE {"cmd":"requeue","target":"dead"}"#);
    assert_eq!(world.machine.counters.sets.dead, 4, "one job fills a slice");
    // The time is the same, and so is the job's key in the set.
    do_between(&mut world, "kill", "dead", "job-00000004");
    while world.slice(2 * SLICE_BYTES) {}
    assert_eq!(world.replies.remove(0), (A, Reply::OK, None));
    let info = world.info().faktory;
    assert_eq!((info.queues["q"], info.sets.dead), (4, 1));
    check_tables(&world, "at the end");
}
