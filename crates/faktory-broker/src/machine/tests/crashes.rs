//! Crashes: what was synced survives, and what was begun is finished.

use faktory_wire::Reply;

use super::{A, World, seconds};
use crate::store::{Batch, Store, Table};

#[test]
fn jobs_reservations_sets_and_pauses_survive_a_crash() {
    let mut world = World::new();
    world.push("job-00000001", r#","queue":"one""#);
    world.push("job-00000002", r#","queue":"one""#);
    world.push("job-00000003", r#","queue":"two""#);
    world.push("job-00000004", r#","at":"2100-01-01T00:00:00Z""#);
    world.ask("FETCH one");
    // Synced with the next answer that promises it.
    world.ask("QUEUE PAUSE two");
    let before = world.info().faktory;
    world.reopen();
    assert_eq!(world.info().faktory, before);
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    assert_eq!(world.info().faktory.sets.working, 0);
    assert_eq!(World::job(&world.ask("FETCH one")).jid, "job-00000002");
    world.send(A, "FETCH two");
    world.advance_time(seconds(2));
    assert_eq!(world.replies.remove(0).1, Reply::Nothing);
}

#[test]
fn a_crash_may_undo_a_fetch_but_no_ack() {
    let mut world = World::new();
    world.push("job-00000001", "");
    assert_eq!(world.fetch().jid, "job-00000001");
    world.reopen();
    assert_eq!(world.fetch().jid, "job-00000001", "offered again");
    assert_eq!(world.ask(r#"ACK {"jid":"job-00000001"}"#), Reply::OK);
    world.reopen();
    assert_eq!(world.info().faktory.total_processed, 1, "acknowledged for good");
}

#[test]
fn a_crash_before_the_sync_of_a_flush_undoes_all_of_it() {
    let mut world = World::new();
    for number in 0..5 {
        world.push(&format!("job-{number:08}"), "");
    }
    world.fetch();
    world.machine.flush(&mut world.store).unwrap();
    world.reopen();
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.total_queues), (5, 1), "the fetched job is back too");
}

#[test]
fn a_flush_of_an_earlier_version_that_a_crash_interrupted_is_finished_at_the_next_start() {
    let mut world = World::new();
    for number in 0..5 {
        world.push(&format!("job-{number:08}"), "");
    }
    world.fetch();
    let mut mark = Batch::default();
    mark.put(Table::Meta, b"flushing", Vec::new());
    world.store.write(mark).unwrap();
    world.store.sync().unwrap();
    world.reopen();
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.sets.working, info.total_queues), (0, 0, 0));
    assert_eq!(
        world.ask(r#"FAIL {"jid":"job-00000000"}"#),
        Reply::error("Job not found job-00000000")
    );
    world.push("job-afterwards", "");
    assert_eq!(world.fetch().jid, "job-afterwards");
}
