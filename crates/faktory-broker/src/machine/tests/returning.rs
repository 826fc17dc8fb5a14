//! Jobs whose replies could not be delivered return to their queues.

use faktory_wire::Reply;

use super::{B, World, check_tables};
use crate::machine::{ConnectionId, Reservation};

#[test]
fn undelivered_jobs_return_to_the_front_of_their_queue_in_order() {
    let mut world = World::new();
    for jid in ["job-00000001", "job-00000002", "job-00000003"] {
        world.push(jid, "");
    }
    world.send(B, "FETCH default");
    world.send(B, "FETCH default");
    let reservations = world.take_reservations();
    world.disconnect(B, &reservations);
    let order = [world.fetch().jid, world.fetch().jid, world.fetch().jid];
    assert_eq!(order, ["job-00000001", "job-00000002", "job-00000003"]);
    let info = world.info();
    assert_eq!((info.faktory.total_processed, info.faktory.sets.working), (0, 3));
}

#[test]
fn a_job_without_retries_that_may_have_arrived_stays_reserved() {
    let mut world = World::new();
    world.push("job-00000001", r#","retry":0"#);
    world.push("job-00000002", r#","retry":1"#);
    world.push("job-00000003", r#","retry":0"#);
    for _ in 0..3 {
        world.send(B, "FETCH default");
    }
    let mut reservations = world.take_reservations();
    for reservation in reservations.iter_mut().take(2) {
        *reservation = reservation.perhaps_arrived();
    }
    world.disconnect(B, &reservations);
    assert_eq!([world.fetch().jid, world.fetch().jid], ["job-00000002", "job-00000003"]);
    let info = world.info();
    assert_eq!((info.faktory.total_enqueued, info.faktory.sets.working), (0, 3));
}

#[test]
fn all_undelivered_jobs_return_before_the_next_job_is_handed_out() {
    let mut world = World::new();
    let dying = ConnectionId(11);
    world.connect(dying, None);
    world.push("job-00000001", "");
    world.push("job-00000002", "");
    world.send(dying, "FETCH default");
    world.send(dying, "FETCH default");
    let reservations = world.take_reservations();
    world.send(B, "FETCH default");
    world.disconnect(dying, &reservations);
    assert_eq!(World::job(&world.replies.remove(0).1).jid, "job-00000001");
}

#[test]
fn an_ack_ends_a_returned_job_that_had_arrived_after_all() {
    let mut world = World::new();
    let cut = ConnectionId(11);
    world.connect(cut, None);
    for number in 1..=3 {
        world.push(&format!("job-0000000{number}"), "");
    }
    for _ in 1..=3 {
        world.send(cut, "FETCH default");
    }
    let reservations: Vec<_> =
        world.take_reservations().into_iter().map(Reservation::perhaps_arrived).collect();
    world.disconnect(cut, &reservations);
    assert_eq!(world.info().faktory.total_enqueued, 3);
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000002"}"#), Reply::OK);
    check_tables(&world, "after the ACK");
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.total_processed), (2, 1));
    // An ACK does not end a waiting job of the same id. For a job that has been handed out again,
    // the ACK ends the new reservation.
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
