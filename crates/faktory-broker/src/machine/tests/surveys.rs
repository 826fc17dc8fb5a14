//! A survey of all tables: what is where, and what does not agree.

use super::{A, World, seconds, survey};
use crate::machine::keys::{self, EntryKey, Location};
use crate::store::{Batch, Store, Table};
use faktory_wire::{Reply, Timestamp};

/// Three jobs wait in two queues, one is reserved, one is scheduled, one was removed.
fn world() -> World {
    let mut world = World::new();
    for (jid, more) in [
        ("job-00000001", ""),
        ("job-00000002", ""),
        ("job-00000003", r#","queue":"other""#),
        ("job-00000004", ""),
        ("job-00000005", r#","at":"2027-01-01T00:00:00Z""#),
    ] {
        world.push(jid, more);
    }
    assert_eq!(world.fetch().jid, "job-00000001");
    world
}

#[test]
fn jobs_are_counted_where_they_are() {
    let mut world = world();
    let tables = survey(&world.store);
    assert_eq!((tables.jobs, tables.removed, tables.faults.len()), (5, 0, 0), "{tables:?}");
    assert_eq!(tables.queues, [("default".into(), 2), ("other".into(), 1)]);
    assert_eq!(tables.sets, [("scheduled", 1), ("retries", 0), ("dead", 0), ("working", 1)]);
    world.send(A, "QUEUE REMOVE other");
    let tables = survey(&world.store);
    assert_eq!((tables.jobs, tables.removed, tables.faults.len()), (5, 1, 0), "{tables:?}");
    world.advance_time(seconds(1));
    assert_eq!(survey(&world.store).removed, 0);
    assert!(matches!(world.replies.pop(), Some((A, Reply::Simple(_), None))));
    assert_eq!(survey(&crate::store::MemoryStore::default()).faults, [""; 0]);
}

#[test]
fn whatever_does_not_agree_is_told() {
    type Harm = fn(&mut Batch);
    let harms: [(Harm, &str); 7] = [
        (
            |batch| batch.delete(Table::Bodies, keys::body(3)),
            "1 jobs in a queue or a set have no body, and count as deleted",
        ),
        (
            |batch| batch.put(Table::Bodies, keys::body(99), "{}"),
            "1 bodies of jobs that are in no queue and no set",
        ),
        (
            |batch| batch.put(Table::Bodies, keys::body(99), "{}"),
            "the number 99 is in use, and the last one given out was",
        ),
        (|batch| batch.put(Table::Queued, [1], "x"), "1 records that can't be read"),
        (|batch| batch.delete(Table::Meta, keys::COUNTERS_KEY), "the counters are missing"),
        (
            |batch| batch.delete(Table::Meta, keys::queue(1)),
            "2 jobs are in queues that have no record",
        ),
        (
            |batch| {
                let key = EntryKey { due: Timestamp::from_micros(5), number: 1 };
                let name = keys::index(Location::Dead, &keys::id_hash("job"), key.number);
                batch.put(Table::Index, name, keys::due_value(key.due));
            },
            "the index of the sets has 3 entries and does not fit the 2 jobs in them",
        ),
    ];
    for (harm, told) in harms {
        let mut world = world();
        let mut batch = Batch::default();
        harm(&mut batch);
        world.store.write(batch).unwrap();
        let faults = survey(&world.store).faults;
        assert!(faults.iter().any(|fault| fault.starts_with(told)), "{told}: {faults:?}");
    }
}

#[test]
fn a_wrong_length_or_size_is_told_with_both_figures() {
    let mut world = world();
    let mut batch = Batch::default();
    let queued = world.store.range(Table::Queued, &[], &[0xFF; 30], 1).unwrap().remove(0);
    let set = world.store.range(Table::Sets, b"s", b"t", 1).unwrap().remove(0);
    batch.delete(Table::Queued, crate::store::name_of(&queued.0));
    batch.delete(Table::Sets, crate::store::name_of(&set.0));
    world.store.write(batch).unwrap();
    let faults = survey(&world.store).faults.join("\n");
    for told in [
        "the queue default has 1 jobs, and its record says 2",
        "the set scheduled has 0 jobs, and was counted 1",
        "2 bodies of jobs that are in no queue and no set",
        "the index of the sets has 2 entries and does not fit the 1 jobs in them",
    ] {
        assert!(faults.contains(told), "{told}: {faults}");
    }
}
