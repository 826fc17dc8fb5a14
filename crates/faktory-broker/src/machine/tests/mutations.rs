//! MUTATE, by ids and by scans.

use std::time::Duration;

use faktory_wire::Reply;

use super::{A, B, World};

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
