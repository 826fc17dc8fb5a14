//! FETCH: which job goes to which client, and how a FETCH waits.

use std::time::Duration;

use faktory_wire::{Hello, Info, Reply};

use super::{A, B, World, seconds};
use crate::machine::ConnectionId;

#[test]
fn args_are_handed_out_byte_for_byte() {
    let mut world = World::new();
    let args = r#"[9007199254740993,1.0,{"b":1,"a":2},"<&>\ud800"]"#;
    world.ask(&format!(r#"PUSH {{"jid":"job-00000001","jobtype":"t","args":{args}}}"#));
    assert_eq!(world.fetch().args_json(), args);
}

#[test]
fn a_pushed_job_goes_to_the_fetch_that_has_waited_longest() {
    let mut world = World::new();
    world.send(B, "FETCH other default");
    world.send(A, "FETCH default");
    world.machine.connect(world.now, ConnectionId(3), &Hello::default());
    world.send(ConnectionId(3), r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
    let to: Vec<_> = world.replies.iter().map(|(connection, ..)| *connection).collect();
    assert_eq!(to, [B, ConnectionId(3)]);
}

#[test]
fn a_fetch_without_a_job_is_answered_after_two_seconds_and_later_commands_wait_for_it() {
    let mut world = World::new();
    world.send(A, "FETCH default");
    world.send(A, "FLUSH");
    world.advance_time(Duration::from_millis(1999));
    assert_eq!(world.replies, []);
    world.advance_time(Duration::from_millis(1));
    let replies: Vec<_> = world.replies.drain(..).map(|(_, reply, _)| reply).collect();
    assert_eq!(replies, [Reply::Nothing, Reply::OK]);
}

#[test]
fn after_the_end_of_input_only_fetches_are_answered_without_being_carried_out() {
    let mut world = World::new();
    world.send(A, "FETCH default");
    world.send(A, r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
    world.send(A, "FETCH default");
    world.machine.input_ended(&mut world.store, world.now, A).unwrap();
    world.collect();
    let replies: Vec<_> = world.replies.drain(..).map(|(_, reply, _)| reply).collect();
    assert_eq!(replies, [Reply::Nothing, Reply::OK, Reply::Nothing]);
    world.send(B, "FETCH default");
    assert_eq!(World::job(&world.replies[0].1).jid, "job-00000001");
}

#[test]
fn no_command_after_end_is_carried_out() {
    let mut world = World::new();
    world.send(A, "FETCH default");
    world.send(A, "END");
    world.send(A, r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[]}"#);
    world.advance_time(seconds(2));
    assert_eq!(
        world.replies.drain(..).map(|(_, reply, _)| reply).collect::<Vec<_>>(),
        [Reply::Nothing]
    );
    assert_eq!(world.closed, [A]);
    world.send(B, "INFO");
    let Reply::Bulk(body) = world.replies.remove(0).1 else { panic!("no INFO") };
    assert_eq!(serde_json::from_slice::<Info>(&body).unwrap().faktory.total_enqueued, 0);
}

#[test]
fn a_long_queue_keeps_its_order_across_a_crash() {
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
fn a_quiet_worker_gets_no_job_on_any_of_its_connections() {
    let mut world = World::new();
    let (first, second) = (ConnectionId(11), ConnectionId(12));
    world.connect(first, Some("worker-1"));
    world.connect(second, Some("worker-1"));
    world.send(second, "FETCH default");
    world.send(first, r#"BEAT {"wid":"worker-1","current_state":"quiet"}"#);
    world.replies.clear();
    world.push("job-00000001", "");
    assert_eq!(world.replies, [], "the waiting FETCH of a quiet worker gets nothing");
    world.advance_time(seconds(2));
    assert_eq!(world.replies.remove(0).1, Reply::Nothing);
    assert_eq!(world.fetch().jid, "job-00000001");
}

#[test]
fn a_worker_without_heartbeats_loses_its_connections() {
    let mut world = World::new();
    world.connect(ConnectionId(11), Some("silent"));
    world.connect(ConnectionId(12), Some("alive"));
    for _ in 0..6 {
        world.advance_time(seconds(15));
        world.send(A, r#"BEAT {"wid":"alive"}"#);
    }
    assert_eq!(world.closed, [ConnectionId(11)]);
}
