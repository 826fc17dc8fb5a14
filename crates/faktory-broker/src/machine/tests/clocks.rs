//! A wall clock that is set: by an hour, forward and back, while the broker runs and over a
//! restart.

use std::time::Duration;

use faktory_wire::{Reply, Timestamp};

use super::{A, B, ConnectionId, World, seconds};

const HOUR: i64 = 3_600_000_000;

/// Sets the wall clock forward, or back where `micros` is negative. No time passes.
fn set_wall_clock(world: &mut World, micros: i64) {
    world.now.wall = Timestamp::from_micros(world.now.wall.micros() + micros);
    while world.machine.advance(&mut world.store, world.now).unwrap() {}
    world.collect();
}

/// A FETCH is synced with the next push.
fn sync(world: &mut World) {
    world.push("job-99999999", r#","queue":"other""#);
}

fn working_and_retries(world: &mut World) -> (u64, u64) {
    let sets = world.info().faktory.sets;
    (sets.working, sets.retries)
}

#[test]
fn a_reservation_lasts_its_time_however_the_wall_clock_is_set() {
    for jumps in [[HOUR, 0], [-HOUR, 0], [HOUR, -HOUR], [-HOUR, HOUR], [400 * 24 * HOUR, HOUR]] {
        let mut world = World::new();
        world.push("job-00000001", r#","reserve_for":600"#);
        world.push("job-00000002", r#","reserve_for":600"#);
        let _ = world.fetch();
        set_wall_clock(&mut world, jumps[0]);
        // A reservation that begins after the jump has its full time too.
        world.advance_time(seconds(300));
        let _ = world.fetch();
        set_wall_clock(&mut world, jumps[1]);
        world.advance_time(seconds(309));
        assert_eq!(working_and_retries(&mut world), (2, 0), "{jumps:?}");
        world.advance_time(seconds(2));
        assert_eq!(working_and_retries(&mut world), (1, 1), "{jumps:?}");
        // The first job's retry is of no interest here.
        let _ = world.ask(r#"MUTATE {"cmd":"clear","target":"retries"}"#);
        world.advance_time(seconds(297));
        assert_eq!(working_and_retries(&mut world), (1, 0), "{jumps:?}");
        world.advance_time(seconds(3));
        assert_eq!(working_and_retries(&mut world), (0, 1), "{jumps:?}");
    }
}

#[test]
fn no_worker_is_reaped_and_no_fetch_hangs_because_the_wall_clock_is_set() {
    for jump in [HOUR, -HOUR] {
        let mut world = World::new();
        let worker = ConnectionId(3);
        world.connect(worker, Some("worker-1"));
        world.send(B, "FETCH default");
        set_wall_clock(&mut world, jump);
        assert!(world.replies.is_empty() && world.closed.is_empty(), "{jump}");
        world.advance_time(seconds(2));
        assert_eq!(world.replies.remove(0), (B, Reply::Nothing, None), "{jump}");
        world.advance_time(seconds(57));
        assert_eq!(world.closed, [], "{jump}");
        world.advance_time(seconds(20));
        assert_eq!(world.closed, [worker], "{jump}");
    }
}

#[test]
fn a_scheduled_job_goes_by_the_wall_clock_and_a_jump_is_noticed_within_a_second() {
    let mut world = World::new();
    let at = world.now.wall.plus(seconds(3600));
    world.push("job-00000001", &format!(r#","at":"{at}""#));
    assert_eq!(world.machine.next_wake(world.now), seconds(1));
    world.advance_time(seconds(1));
    set_wall_clock(&mut world, -HOUR);
    world.advance_time(seconds(3600));
    assert_eq!(world.info().faktory.sets.scheduled, 1);
    set_wall_clock(&mut world, HOUR);
    assert_eq!(world.info().faktory.sets.scheduled, 0);
    assert_eq!(world.fetch().jid, "job-00000001");
}

#[test]
fn a_restart_judges_by_the_wall_clock_and_keeps_no_reservation_beyond_its_full_time() {
    // The jump of the wall clock while no broker runs, and how long the reservation then lasts.
    for (jump, lasts) in [(0, 600), (-HOUR, 610), (HOUR, 0)] {
        let mut world = World::new();
        // More jobs than one step of background work looks at.
        for job in 0..450 {
            world.push(&format!("job-{job:08}"), r#","reserve_for":600"#);
            let _ = world.fetch();
        }
        assert_eq!(world.ask(r#"ACK {"jid":"job-00000449"}"#), Reply::OK);
        world.advance_time(seconds(10));
        world.reopen();
        set_wall_clock(&mut world, jump);
        super::check_tables(&world, "after the restart");
        if lasts > 0 {
            world.advance_time(seconds(lasts) - Duration::from_millis(1));
            assert_eq!(working_and_retries(&mut world), (449, 0), "{jump}");
            world.advance_time(Duration::from_millis(2));
        }
        assert_eq!(working_and_retries(&mut world), (0, 449), "{jump}");
        super::check_tables(&world, "at the end");
    }
}

#[test]
fn a_reservation_from_before_a_restart_is_found_by_its_id_after_its_end_was_moved() {
    let mut world = World::new();
    world.push("job-00000001", "");
    let _ = world.fetch();
    sync(&mut world);
    world.reopen();
    set_wall_clock(&mut world, -HOUR);
    assert_eq!(working_and_retries(&mut world), (1, 0));
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    assert_eq!(working_and_retries(&mut world), (0, 0));
    super::check_tables(&world, "after the ACK");
}

#[test]
fn a_restart_agrees_with_a_wall_clock_that_was_set_while_no_job_was_reserved() {
    let mut world = World::new();
    set_wall_clock(&mut world, 24 * HOUR);
    world.push("job-00000001", "");
    let _ = world.fetch();
    sync(&mut world);
    world.reopen();
    world.advance_time(seconds(1));
    assert_eq!(working_and_retries(&mut world), (1, 0));
}

#[test]
fn killing_the_dead_set_ends_although_the_wall_clock_is_set_back() {
    let mut world = World::new();
    for job in 0..450 {
        let jid = format!("job-{job:08}");
        world.push(&jid, r#","retry":-1"#);
        let _ = world.fetch();
        let _ = world.ask(&format!(r#"FAIL {{"jid":"{jid}"}}"#));
    }
    world.send(A, r#"MUTATE {"cmd":"kill","target":"dead"}"#);
    assert!(world.replies.is_empty(), "the jobs are more than one step handles");
    world.now.wall = Timestamp::from_micros(world.now.wall.micros() - HOUR);
    for _ in 0..10 {
        world.machine.advance(&mut world.store, world.now).unwrap();
    }
    world.collect();
    assert_eq!(world.replies.pop(), Some((A, Reply::OK, None)));
    assert_eq!(world.info().faktory.sets.dead, 450);
}

#[test]
fn a_mutation_of_the_dead_set_finds_every_job_after_the_wall_clock_was_set_back() {
    for (command, dead) in [("requeue", 0), ("discard", 0), ("kill", 3)] {
        let mut world = World::new();
        for job in 0..3 {
            let jid = format!("job-{job:08}");
            world.push(&jid, r#","retry":-1"#);
            let _ = world.fetch();
            let _ = world.ask(&format!(r#"FAIL {{"jid":"{jid}"}}"#));
        }
        set_wall_clock(&mut world, -HOUR);
        let mutate = format!(r#"MUTATE {{"cmd":"{command}","target":"dead"}}"#);
        assert_eq!(world.ask(&mutate), Reply::OK);
        assert_eq!(world.info().faktory.sets.dead, dead, "{command}");
    }
}
