//! Tables that lack some of their keys are made to agree, and every job whose keys are there is
//! kept.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{A, World, seconds, survey};
use crate::machine::{Gathered, Machine, Mended};
use crate::store::{Batch, Key, MemoryStore, Store, Table, name_of};
use faktory_wire::{Job, Timestamp};

/// The keys of a machine that has done a bit of everything.
fn keys_of(random: &mut fastrand::Rng) -> Vec<(Key, Bytes)> {
    let mut world = World::new();
    for number in 0..random.u32(20..60) {
        let queue = ["default", "b", "c"][random.usize(..3)];
        let at = if random.u8(..5) == 0 { r#","at":"2027-01-01T00:00:00Z""# } else { "" };
        world.push(&format!("job-{number:08}"), &format!(r#","queue":"{queue}"{at}"#));
        if random.bool() {
            continue;
        }
        world.send(A, &format!("FETCH {queue}"));
        let Some((_, reply, _)) = world.replies.pop() else {
            // Nothing was there: the FETCH waits.
            world.advance_time(seconds(3));
            world.replies.clear();
            continue;
        };
        let jid = World::job(&reply).jid;
        match random.u8(..4) {
            0 => drop(world.ask(&format!(r#"ACK {{"jid":"{jid}"}}"#))),
            1 => {
                let fail = r#""errtype":"E","message":"m""#;
                world.ask(&format!(r#"FAIL {{"jid":"{jid}",{fail}}}"#));
                if random.bool() {
                    let kill = r#"{"cmd":"kill","target":"retries","filter":{}}"#;
                    world.ask(&format!("MUTATE {kill}"));
                }
            }
            _ => {}
        }
    }
    if random.u8(..4) == 0 {
        // Its jobs are not deleted yet.
        world.send(A, "QUEUE REMOVE c");
    }
    let tables = [Table::Bodies, Table::Meta, Table::Queued, Table::Sets, Table::Index];
    let all = |table| world.store.range(table, &[], &[0xFF; 30], usize::MAX).unwrap();
    tables.into_iter().flat_map(all).collect()
}

fn mend(pairs: &[(Key, Bytes)]) -> (MemoryStore, Mended) {
    let mut gathered = Gathered::default();
    pairs.iter().for_each(|(key, value)| gathered.note(key, value));
    let mut mending = gathered.into_mending(Timestamp::from_micros(0));
    let mut store = MemoryStore::default();
    for (key, value) in pairs {
        mending.take(&mut store, key, value).unwrap();
    }
    let mended = mending.end(&mut store).unwrap();
    store.sync().unwrap();
    (store, mended)
}

fn bodies(store: &MemoryStore) -> BTreeMap<Vec<u8>, Bytes> {
    let pairs = store.range(Table::Bodies, &[], &[0xFF; 30], usize::MAX).unwrap();
    pairs.into_iter().map(|(key, value)| (name_of(&key).to_vec(), value)).collect()
}

#[test]
fn tables_that_agree_stay_as_they_are() {
    for seed in 0..100 {
        let pairs = keys_of(&mut fastrand::Rng::with_seed(seed));
        let (store, mended) = mend(&pairs);
        let kept = bodies(&store).len() as u64;
        let jobs = pairs.iter().filter(|(key, _)| Table::of(key) == Some(Table::Bodies)).count();
        assert_eq!((mended.kept, mended.kept + mended.removed), (kept, jobs as u64), "seed {seed}");
        assert_eq!(mended.counted, kept, "seed {seed}");
        let lost = mended.put_at_end + mended.without_body + mended.unreadable;
        assert_eq!(lost + mended.older_entries, 0, "seed {seed}");
        if mended.removed == 0 {
            for (key, value) in &pairs {
                let table = Table::of(key).unwrap();
                assert_eq!(store.get(table, name_of(key)).unwrap().as_ref(), Some(value));
            }
        }
    }
}

#[test]
fn tables_that_lack_keys_agree_again_and_no_job_with_a_body_is_missing() {
    for seed in 0..1000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pairs = keys_of(&mut random);
        let trash = pairs.iter().any(|(key, _)| name_of(key).starts_with(b"trash/"));
        let whole = pairs.clone();
        match random.u8(..3) {
            // A range of keys, as of a block.
            0 => {
                let from = random.usize(..pairs.len());
                let to = random.usize(from..=pairs.len());
                pairs.drain(from..to);
            }
            1 => pairs.retain(|_| random.u8(..10) > 0),
            _ => {
                let gone = random.choice(Table::ALL).unwrap();
                pairs.retain(|(key, _)| Table::of(key) != Some(gone));
            }
        }
        let (mut store, mended) = mend(&pairs);
        let found = survey(&store);
        assert_eq!(found.faults, [""; 0], "seed {seed}: {mended:?}");
        assert_eq!(found.jobs, mended.kept, "seed {seed}");
        if !trash {
            let left = pairs.iter().filter(|(key, _)| Table::of(key) == Some(Table::Bodies));
            let left: BTreeMap<_, _> =
                left.map(|(key, value)| (name_of(key).to_vec(), value.clone())).collect();
            assert_eq!(bodies(&store), left, "seed {seed}: {mended:?}");
        }
        check_numbers(&mut store, &whole, seed);
    }
}

/// The machine opens the store, and gives a new job a number that none of the old ones had.
fn check_numbers(store: &mut MemoryStore, pairs: &[(Key, Bytes)], seed: u64) {
    let before: BTreeSet<_> = bodies(store).into_keys().collect();
    let machine = Machine::open(store, 1, 1000).unwrap();
    let mut world = World::new();
    (world.machine, world.store) = (machine, std::mem::take(store));
    world.connect(A, None);
    world.push("a-new-job-0001", "");
    let new: Vec<_> =
        bodies(&world.store).into_keys().filter(|name| !before.contains(name)).collect();
    let [new] = new.as_slice() else { panic!("seed {seed}: {new:?}") };
    assert!(!before.contains(new) && before.iter().all(|old| old < new), "seed {seed}");
    assert!(!pairs.is_empty());
}

#[test]
fn a_job_in_two_places_stays_in_the_newer_one() {
    let mut world = World::new();
    world.push("job-00000001", "");
    let queued = world.store.range(Table::Queued, &[], &[0xFF; 30], 1).unwrap().remove(0);
    assert_eq!(world.fetch().jid, "job-00000001");
    let mut batch = Batch::default();
    batch.put(Table::Queued, name_of(&queued.0), queued.1);
    world.store.write(batch).unwrap();
    let tables = [Table::Bodies, Table::Meta, Table::Queued, Table::Sets];
    let all = |table| world.store.range(table, &[], &[0xFF; 30], usize::MAX).unwrap();
    let (store, mended) = mend(&tables.into_iter().flat_map(all).collect::<Vec<_>>());
    assert_eq!((mended.kept, mended.older_entries), (1, 1));
    let found = survey(&store);
    assert_eq!((found.faults.len(), found.sets[3]), (0, ("working", 1)), "{found:?}");
}

#[test]
fn a_job_of_which_only_the_body_is_left_goes_to_its_queue_or_is_scheduled() {
    let mut world = World::new();
    world.push("job-00000001", r#","queue":"b","retry":3"#);
    world.push("job-00000002", r#","at":"2027-01-01T00:00:00Z""#);
    let bodies = world.store.range(Table::Bodies, &[], &[0xFF; 30], 9).unwrap();
    let (mut store, mended) = mend(&bodies);
    assert_eq!((mended.kept, mended.put_at_end), (2, 2));
    let found = survey(&store);
    assert_eq!(
        (found.queues.as_slice(), found.sets[0]),
        (&[("b".into(), 1), ("default".into(), 0)][..], ("scheduled", 1))
    );
    let machine = Machine::open(&mut store, 1, 1000).unwrap();
    (world.machine, world.store) = (machine, store);
    world.connect(A, None);
    let job: Job = World::job(&world.ask("FETCH b"));
    assert_eq!((job.jid.as_str(), job.retry), ("job-00000001", Some(3)));
}
