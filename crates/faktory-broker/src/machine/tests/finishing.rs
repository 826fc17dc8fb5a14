//! The end of a reservation: ACK, FAIL and expiry, and what becomes of the job.

use faktory_wire::Reply;

use super::{B, World, seconds};

#[test]
fn a_job_is_retried_as_often_as_it_says_and_then_moves_to_the_dead_set() {
    let mut world = World::new();
    world.push("job-00000001", r#","retry":2"#);
    let fail = r#"FAIL {"jid":"job-00000001","errtype":"E","message":"m"}"#;
    assert_eq!(world.fetch().failure, None);
    for (count, remaining) in [(0, 2), (1, 1)] {
        assert_eq!(world.ask(fail), Reply::OK);
        assert_eq!(world.info().faktory.sets.retries, 1);
        world.advance_time(seconds(75));
        let failure = world.fetch().failure.unwrap();
        assert_eq!((failure.retry_count, failure.remaining), (count, remaining));
    }
    assert_eq!(world.ask(fail), Reply::OK);
    let sets = world.info().faktory.sets;
    assert_eq!((sets.retries, sets.dead), (0, 1));
}

#[test]
fn a_failed_job_with_retry_zero_is_deleted_and_one_with_negative_retry_is_dead() {
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
    world.advance_time(seconds(180 * 86_400 + 1));
    assert_eq!(world.info().faktory.sets.dead, 0);
}

#[test]
fn a_job_whose_reservation_ran_out_is_offered_again() {
    let mut world = World::new();
    world.push("job-00000001", r#","reserve_for":1"#);
    let _ = world.fetch();
    world.advance_time(seconds(69));
    assert_eq!(
        world.info().faktory.sets.working,
        1,
        "60 s is the shortest reservation, and 10 s are added"
    );
    world.advance_time(seconds(2));
    let info = world.info();
    assert_eq!(
        (info.faktory.sets.working, info.faktory.sets.retries, info.faktory.total_failures),
        (0, 1, 1)
    );
    assert_eq!(
        world.ask(r#"FAIL {"jid":"job-00000001"}"#),
        Reply::error("Job not found job-00000001")
    );
    world.advance_time(seconds(45));
    let job = world.fetch();
    assert_eq!(job.failure.unwrap().errtype, "ReservationExpired");
}

#[test]
fn a_scheduled_job_is_handed_out_when_it_is_due_and_not_before() {
    let mut world = World::new();
    world.push("job-00000001", r#","at":"2026-01-02T03:05:05Z","queue":"late""#);
    assert_eq!(world.info().faktory.queues.len(), 0);
    world.advance_time(seconds(59));
    assert_eq!(world.info().faktory.sets.scheduled, 1);
    world.send(B, "FETCH late");
    world.advance_time(seconds(1));
    assert_eq!(World::job(&world.replies.remove(0).1).jid, "job-00000001");
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
    world.advance_time(seconds(200));
    world.advance_time(seconds(45));
    assert_eq!(world.fetch().backtrace, Some(2));
    assert_eq!(world.info().faktory.total_processed, 2);
}
