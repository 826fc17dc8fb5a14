//! QUEUE, and the limits on queues.

use faktory_wire::Reply;

use super::{World, seconds};
use crate::store::{Store, Table};

#[test]
fn a_removed_queue_leaves_no_job_in_the_store() {
    let mut world = World::new();
    for number in 0..500 {
        world.push(&format!("job-{number:08}"), "");
    }
    assert_eq!(world.ask("QUEUE REMOVE default"), Reply::OK);
    assert_eq!(world.info().faktory.total_queues, 0);
    world.reopen();
    world.advance_time(seconds(1));
    world.push("job-after-it", "");
    assert_eq!(world.fetch().jid, "job-after-it");
    assert_eq!(world.ask(r#"ACK {"jid":"job-after-it"}"#), Reply::OK);
    assert_eq!(world.store.range(Table::Bodies, &[0], &[0xFF; 9], 10).unwrap(), []);
    assert_eq!(world.store.range(Table::Queued, &[0], &[0xFF; 13], 10).unwrap(), []);
}

#[test]
fn a_push_that_needs_one_queue_too_many_is_refused() {
    let mut world = World::with_max_queues(2);
    world.push("job-00000001", r#","queue":"one""#);
    world.push("job-00000001", r#","queue":"two""#);
    let reply = world.ask(r#"PUSH {"jid":"job-00000001","jobtype":"t","args":[],"queue":"three"}"#);
    assert_eq!(
        reply,
        Reply::error("cannot get \"three\" queue: this server keeps at most 2 queues")
    );
}

#[test]
fn queues_of_scheduled_jobs_count_for_the_limit_and_are_not_listed_before_their_first_job() {
    let mut world = World::with_max_queues(2);
    world.push("job-00000001", r#","queue":"one","at":"2100-01-01T00:00:00Z""#);
    world.push("job-00000002", r#","queue":"two","at":"2100-01-01T00:00:00Z""#);
    let third = concat!(
        r#"PUSH {"jid":"job-00000003","jobtype":"t","args":[],"#,
        r#""queue":"three","at":"2100-01-01T00:00:00Z"}"#
    );
    assert!(matches!(world.ask(third), Reply::Error(text) if text.contains("at most 2 queues")));
    assert_eq!(world.info().faktory.total_queues, 0);
    world.ask(r#"MUTATE {"cmd":"requeue","target":"scheduled"}"#);
    assert_eq!(world.info().faktory.total_queues, 2);
}

#[test]
fn a_pause_makes_no_queue_of_an_invalid_name() {
    let mut world = World::new();
    assert_eq!(world.ask("QUEUE PAUSE a/b\"< x"), Reply::OK);
    assert_eq!(world.info().faktory.queues.keys().collect::<Vec<_>>(), ["x"]);
}

#[test]
fn on_a_full_disk_pushes_are_refused_and_all_else_is_carried_out() {
    let mut world = World::new();
    world.push("job-00000001", "");
    world.push("job-00000002", "");
    world.machine.set_disk_full(true);
    for line in [
        r#"PUSH {"jid":"job-00000003","jobtype":"t","args":[]}"#,
        r#"PUSHB [{"jid":"job-00000003","jobtype":"t","args":[]}]"#,
    ] {
        let reply = world.ask(line);
        assert!(matches!(&reply, Reply::Error(text) if text.contains("BROKER_MIN_FREE")));
    }
    assert_eq!(world.machine.take_refused_pushes(), 2);
    assert_eq!(world.fetch().jid, "job-00000001");
    // A worker that ends gives its job back: it is pushed again, and acknowledged.
    world.push("job-00000001", r#","queue":"given-back""#);
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    assert_eq!(World::job(&world.ask("FETCH given-back")).jid, "job-00000001");
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    assert_eq!(world.fetch().jid, "job-00000002");
    assert_eq!(world.ask(r#"FAIL {"jid":"job-00000002"}"#), Reply::OK);
    world.machine.set_disk_full(false);
    world.push("job-00000003", "");
    assert_eq!(world.fetch().jid, "job-00000003");
}
