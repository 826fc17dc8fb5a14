//! Mutations that look into jobs: one at a time keeps a text, and they take turns.

use faktory_wire::Reply;

use super::load::{LATER, schedule_large};
use super::{A, B, World};
use crate::machine::ConnectionId;

/// A world with eight scheduled jobs of 2 MiB and a dead one of a few bytes.
fn with_large_jobs() -> World {
    let mut world = World::new();
    world.syncs = false;
    world.push("job-dead", LATER);
    world.ask(r#"MUTATE {"cmd":"kill","target":"scheduled"}"#);
    for _ in 0..8 {
        schedule_large(&mut world, 2 << 20);
    }
    world
}

/// A mutation that looks into each job of a set and selects none.
fn look_into(target: &str) -> String {
    format!(r#"MUTATE {{"cmd":"kill","target":"{target}","filter":{{"regexp":"*none*"}}}}"#)
}

#[test]
fn mutations_that_look_into_jobs_take_turns_a_job_each() {
    let mut world = with_large_jobs();
    world.send(A, &look_into("scheduled"));
    world.send(B, &look_into("dead"));
    let mut slices = 0;
    while world.replies.is_empty() {
        world.slice(2 << 20);
        slices += 1;
    }
    assert_eq!(world.replies.remove(0), (B, Reply::OK, None));
    assert!(slices <= 6, "one large job at the most: {slices}");
    while world.slice(2 << 20) {}
    assert_eq!(world.replies, [(A, Reply::OK, None)]);
}

#[test]
fn new_mutations_that_look_into_jobs_do_not_overtake_one_that_waits() {
    let mut world = with_large_jobs();
    world.send(A, &look_into("scheduled"));
    world.send(B, &look_into("dead"));
    for id in 10..20 {
        world.connect(ConnectionId(id), None);
        for _ in 0..3 {
            world.send(ConnectionId(id), &look_into("scheduled"));
            world.slice(2 << 20);
        }
        if !world.replies.is_empty() {
            break;
        }
    }
    assert_eq!(world.replies.first().map(|(connection, ..)| *connection), Some(B));
}
