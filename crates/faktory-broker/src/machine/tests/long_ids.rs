//! A store of an earlier version, which bounded no id: its jobs are served like all others.

use faktory_wire::Reply;

use super::{World, check_tables, seconds};
use crate::machine::keys;
use crate::store::{Batch, Store, Table, name_of};

/// Ids that are longer than those of jobs that are pushed, and than a key of the store can be.
fn long_ids() -> [String; 3] {
    ["a", "b", "c"].map(|letter| letter.repeat(100_000))
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let Some(at) = bytes.windows(from.len()).position(|part| part == from) else {
        return bytes.to_vec();
    };
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// Gives the jobs of an id another one, in all tables: the body has the id, the other tables have
/// its hash.
fn rename(world: &mut World, from: &str, to: &str) {
    let hashes = [keys::id_hash(from), keys::id_hash(to)];
    let mut batch = Batch::default();
    for table in [Table::Bodies, Table::Queued, Table::Sets, Table::Index] {
        let (from, to) = match table {
            Table::Bodies => (from.as_bytes(), to.as_bytes()),
            _ => (hashes[0].as_slice(), hashes[1].as_slice()),
        };
        for (key, value) in world.store.range(table, &[], &[0xFF; 40], usize::MAX).unwrap() {
            let name = name_of(&key);
            batch.delete(table, name);
            batch.put(table, replaced(name, from, to), replaced(&value, from, to));
        }
    }
    world.store.write(batch).unwrap();
    world.store.sync().unwrap();
}

/// A world whose store, just opened, holds jobs with long ids that were pushed so.
fn world_with(more: &str) -> World {
    let mut world = World::new();
    for (number, id) in long_ids().iter().enumerate() {
        let short = format!("job-{number:08}");
        world.push(&short, more);
        rename(&mut world, &short, id);
    }
    world.reopen();
    check_tables(&world, "opened");
    world
}

fn mutate(world: &mut World, command: &str, target: &str, jid: &str) {
    let filter = format!(r#"{{"jids":["{jid}"]}}"#);
    let line = format!(r#"MUTATE {{"cmd":"{command}","target":"{target}","filter":{filter}}}"#);
    assert_eq!(world.ask(&line), Reply::OK);
}

#[test]
fn jobs_with_long_ids_are_fetched_acknowledged_and_retried() {
    let mut world = world_with("");
    let [a, b, c] = long_ids();
    for id in [&a, &b, &c] {
        assert!(world.fetch().jid == *id);
    }
    assert_eq!(world.ask(&format!(r#"ACK {{"jid":"{a}"}}"#)), Reply::OK);
    assert_eq!(world.ask(&format!(r#"FAIL {{"jid":"{b}"}}"#)), Reply::OK);
    check_tables(&world, "one acknowledged, one failed");
    let sets = world.info().faktory.sets;
    assert_eq!((sets.working, sets.retries), (1, 1));
    // The retry is due. The other reservation outlives a restart.
    world.advance_time(seconds(75));
    assert!(world.fetch().jid == b);
    assert_eq!(world.ask(&format!(r#"ACK {{"jid":"{b}"}}"#)), Reply::OK);
    world.reopen();
    assert_eq!(world.ask(&format!(r#"ACK {{"jid":"{c}"}}"#)), Reply::OK);
    check_tables(&world, "all acknowledged");
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.sets.working, info.total_processed), (0, 0, 4));
}

#[test]
fn jobs_with_long_ids_are_found_by_mutate_moved_and_removed() {
    let mut world = world_with(r#","at":"2100-01-01T00:00:00Z""#);
    let [a, b, c] = long_ids();
    mutate(&mut world, "requeue", "scheduled", &a);
    mutate(&mut world, "kill", "scheduled", &b);
    mutate(&mut world, "discard", "scheduled", &c);
    let info = world.info().faktory;
    assert_eq!((info.total_enqueued, info.sets.dead, info.sets.scheduled), (1, 1, 0));
    assert!(world.fetch().jid == a);
    mutate(&mut world, "discard", "dead", &b);
    check_tables(&world, "moved and removed");
    assert_eq!(world.ask("FLUSH"), Reply::OK);
    assert_eq!(world.info().faktory.sets.working, 0);
}
