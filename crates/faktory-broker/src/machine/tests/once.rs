//! `WF PUSHB`: what is pushed again is not stored again.

use faktory_wire::{JOB_ID_REUSED, KEY_REUSED};

use super::*;
use crate::machine::refusals::DISK_FULL;

const WINDOW: u32 = 24 * 100;
const LIMITS: IdLimits = IdLimits { seconds: WINDOW, bytes: 1 << 30 };

fn world() -> World {
    let mut world = World::new();
    world.machine.remember_ids(LIMITS);
    world
}

fn restart(world: &mut World) {
    world.reopen();
    world.machine.remember_ids(LIMITS);
}

fn job(jid: &str) -> String {
    format!(r#"{{"jid":"{jid}","jobtype":"t","args":[1]}}"#)
}

/// A UUID of version 7 that was made so many seconds after the world's beginning.
fn uuid(world: &World, seconds: i64, number: u64) -> String {
    let milliseconds = (world.now.wall.micros() / 1_000_000 + seconds) * 1000;
    format!("{milliseconds:012x}70008{number:015x}")
}

/// The answer to a push of these jobs: the refusals.
fn push(world: &mut World, groups: &str, jobs: &[String]) -> HashMap<String, String> {
    let line = format!(r#"WF PUSHB {{{groups}"jobs":[{}]}}"#, jobs.join(","));
    match world.ask(&line) {
        Reply::Bulk(body) => serde_json::from_slice(&body).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn push_one(world: &mut World, jid: &str) {
    assert_eq!(push(world, "", &[job(jid)]), HashMap::new(), "{jid}");
}

fn queued(world: &mut World) -> u64 {
    world.info().faktory.total_enqueued
}

fn duplicates(world: &World) -> u64 {
    world.machine.remembered_ids(world.now).duplicates
}

#[test]
fn a_job_that_is_pushed_again_is_stored_once_also_after_it_was_run_and_after_a_crash() {
    let mut world = world();
    let ids = ["caller-chosen-00001".to_owned(), uuid(&world, 0, 7)];
    for id in &ids {
        push_one(&mut world, id);
        push_one(&mut world, id);
    }
    assert_eq!((queued(&mut world), duplicates(&world)), (2, 2));
    restart(&mut world);
    ids.iter().for_each(|id| push_one(&mut world, id));
    for _ in &ids {
        let fetched = world.fetch();
        assert_eq!(world.ask(&format!(r#"ACK {{"jid":"{}"}}"#, fetched.jid)), Reply::OK);
    }
    ids.iter().for_each(|id| push_one(&mut world, id));
    assert_eq!((queued(&mut world), duplicates(&world)), (0, 4));
    check_tables(&world, "in the end");
}

#[test]
fn a_job_twice_in_one_push_is_stored_once_also_where_the_push_is_large() {
    for count in [2, 2500] {
        let mut world = world();
        let ids: Vec<_> = (0..count).map(|number| uuid(&world, 0, number / 2)).collect();
        let jobs: Vec<_> = ids.iter().map(|id| job(id)).collect();
        assert_eq!(push(&mut world, "", &jobs), HashMap::new());
        assert_eq!((queued(&mut world), duplicates(&world)), (count / 2, count / 2));
        check_tables(&world, "in the end");
    }
}

#[test]
fn an_id_that_comes_with_another_type_args_or_queue_is_refused() {
    let mut world = world();
    let id = "caller-chosen-00001";
    push_one(&mut world, id);
    for (members, is_same) in [
        (r#""jobtype":"t","args":[1],"retry":3,"queue":"default","reserve_for":90"#, true),
        (r#""jobtype":"u","args":[1]"#, false),
        (r#""jobtype":"t","args":[2]"#, false),
        (r#""jobtype":"t","args":[1],"queue":"other""#, false),
    ] {
        let refused = push(&mut world, "", &[format!(r#"{{"jid":"{id}",{members}}}"#)]);
        let expected = (!is_same).then_some(JOB_ID_REUSED);
        assert_eq!(refused.get(id).map(String::as_str), expected, "{members}");
    }
    assert_eq!(queued(&mut world), 1);
}

#[test]
fn what_was_refused_and_what_was_pushed_by_pushb_is_not_remembered() {
    let mut world = World::with_max_queues(1);
    world.machine.remember_ids(LIMITS);
    push_one(&mut world, "caller-chosen-00001");
    let elsewhere = r#"{"jid":"caller-chosen-00002","jobtype":"t","args":[],"queue":"more"}"#;
    assert_eq!(push(&mut world, "", &[elsewhere.into()]).len(), 1);
    let here = r#"{"jid":"caller-chosen-00002","jobtype":"t","args":[]}"#;
    assert_eq!(push(&mut world, "", &[here.into()]), HashMap::new());
    // Clients of Faktory may rely on two jobs.
    world.push("caller-chosen-00003", "");
    world.push("caller-chosen-00003", "");
    push_one(&mut world, "caller-chosen-00003");
    world.push("caller-chosen-00001", "");
    assert_eq!(queued(&mut world), 6);
}

#[test]
fn the_ids_and_keys_of_two_callers_are_apart() {
    let mut world = world();
    for (caller, expected) in [("a", 1), ("b", 2), ("a", 2)] {
        let key = r#""key":{"id":"k","hash":"h"}"#;
        let group = format!(r#""groups":[{{"jobs":1,"by":"{caller}",{key}}}],"#);
        assert_eq!(push(&mut world, &group, &[job("caller-chosen-00001")]), HashMap::new());
        assert_eq!(queued(&mut world), expected);
    }
    push_one(&mut world, "caller-chosen-00001");
    assert_eq!(queued(&mut world), 3);
}

#[test]
fn a_key_with_other_contents_refuses_its_jobs_and_no_others() {
    let mut world = world();
    let group = |hash: &str| format!(r#"{{"jobs":1,"key":{{"id":"k","hash":"{hash}"}}}}"#);
    let first = format!(r#""groups":[{}],"#, group("one"));
    let (one, two) = ("caller-chosen-00001", "caller-chosen-00002");
    assert_eq!(push(&mut world, &first, &[job(one)]), HashMap::new());
    assert_eq!(push(&mut world, &first, &[job(one)]), HashMap::new());
    restart(&mut world);
    let both = format!(r#""groups":[{},{{"jobs":1}}],"#, group("two"));
    let refused = push(&mut world, &both, &[job(one), job(two)]);
    assert_eq!(refused, HashMap::from([(one.to_owned(), KEY_REUSED.to_owned())]));
    assert_eq!(queued(&mut world), 2);
}

#[test]
fn where_the_disk_is_full_what_is_stored_already_is_answered_as_before() {
    let mut world = world();
    let (one, two) = ("caller-chosen-00001", "caller-chosen-00002");
    push_one(&mut world, one);
    world.machine.set_disk_full(true);
    let other = job(one).replace("\"t\"", "\"other\"");
    for (group, jobs, expected) in [
        ("", job(one), None),
        ("", other, Some(JOB_ID_REUSED)),
        (r#""groups":[{"jobs":1,"key":{"id":"k","hash":"h"}}],"#, job(two), Some(DISK_FULL)),
    ] {
        let refused = push(&mut world, group, &[jobs]);
        assert_eq!(refused.values().next().map(String::as_str), expected);
    }
    assert_eq!((queued(&mut world), world.machine.take_refused_pushes()), (1, 1));
    world.machine.set_disk_full(false);
    let group = r#""groups":[{"jobs":1,"key":{"id":"k","hash":"another"}}],"#;
    assert_eq!(push(&mut world, group, &[job(two)]), HashMap::new(), "no key was used up");
}

#[test]
fn an_id_is_forgotten_when_its_time_is_over_and_not_before() {
    let mut world = world();
    let (own, other) = (uuid(&world, 0, 1), "caller-chosen-00001");
    let short = r#""groups":[{"jobs":1,"for":60}],"#;
    push(&mut world, short, &[job("caller-chosen-00002")]);
    let all = |world: &mut World| {
        for id in [&*own, other, "caller-chosen-00002"] {
            push_one(world, id);
        }
    };
    all(&mut world);
    assert_eq!(queued(&mut world), 3);
    world.advance_time(seconds(60));
    all(&mut world);
    assert_eq!(queued(&mut world), 4, "one was to be remembered for a minute");
    world.advance_time(seconds(u64::from(WINDOW) - 61));
    all(&mut world);
    assert_eq!(queued(&mut world), 4);
    world.advance_time(seconds(1));
    restart(&mut world);
    all(&mut world);
    assert_eq!(queued(&mut world), 6);
    all(&mut world);
    assert_eq!(queued(&mut world), 6);
    check_tables(&world, "in the end");
}

/// A UUID whose maker's clock is wrong is found again when the broker's clock has come there.
#[test]
fn a_uuid_of_another_time_is_remembered_too() {
    for seconds_off in [-3600, -119, 119, 121, 900, 3600] {
        let mut world = world();
        let id = uuid(&world, seconds_off, 1);
        push_one(&mut world, &id);
        for _ in 0..23 {
            world.advance_time(seconds(100));
            push_one(&mut world, &id);
            // So that slices begin and end.
            let new = uuid(&world, 0, 2);
            push_one(&mut world, &new);
        }
        assert_eq!(duplicates(&world), 23, "{seconds_off}");
    }
}

#[test]
fn old_ids_leave_the_store_and_the_records_of_their_slices_too() {
    let mut world = world();
    for round in 0..100 {
        for number in 0..10 {
            let own = uuid(&world, 0, number);
            push_one(&mut world, &own);
            push_one(&mut world, &format!("caller-chosen-{round:05}-{number}"));
        }
        world.advance_time(seconds(100));
    }
    let count = |table| world.store.range(table, &[], &[0xFF; 30], usize::MAX).unwrap().len();
    // Of 24 slices, and what may be in the next one or the next generation.
    assert!((240..=270).contains(&count(Table::Ids)), "{}", count(Table::Ids));
    assert!((240..=310).contains(&count(Table::OtherIds)), "{}", count(Table::OtherIds));
    let slices = world.store.range(Table::Meta, b"ids/", b"ids0", usize::MAX).unwrap().len();
    assert!((24..=26).contains(&slices), "{slices}");
    let figures = world.machine.remembered_ids(world.now);
    assert!((480..=520).contains(&figures.count), "{figures:?}");
    assert_eq!(figures.window, WINDOW);
    check_tables(&world, "in the end");
}

#[test]
fn where_there_is_no_room_the_oldest_ids_are_forgotten_and_the_window_is_told() {
    let mut world = world();
    world.machine.remember_ids(IdLimits { bytes: 240 * 40, ..LIMITS });
    for round in 0..60 {
        for number in 0..20 {
            let own = uuid(&world, 0, round * 100 + number);
            push_one(&mut world, &own);
        }
        world.advance_time(seconds(10));
    }
    let figures = world.machine.remembered_ids(world.now);
    assert!((200..=260).contains(&figures.count), "{figures:?}");
    let left = world.store.range(Table::Ids, &[], &[0xFF; 30], usize::MAX).unwrap().len() as u64;
    assert!(left <= figures.count && left >= 200, "{left}");
    assert_eq!(figures.window, 0, "less than what clocks may differ by");
    world.advance_time(seconds(600));
    let figures = world.machine.remembered_ids(world.now);
    assert!((590..=610).contains(&figures.window), "{figures:?}");
}

#[test]
fn a_flush_forgets_all_ids_and_later_ones_are_remembered() {
    let mut world = world();
    for round in 1..30 {
        let ids = ["caller-chosen-00001".to_owned(), uuid(&world, 0, 1)];
        ids.iter().for_each(|id| push_one(&mut world, id));
        assert_eq!(queued(&mut world), 2, "{round}");
        ids.iter().for_each(|id| push_one(&mut world, id));
        assert_eq!(queued(&mut world), 2, "{round}");
        assert_eq!(world.ask("FLUSH"), Reply::OK);
        world.advance_time(seconds(100));
        restart(&mut world);
    }
}

#[test]
fn a_machine_that_remembers_nothing_refuses_the_command_in_words() {
    let mut world = World::new();
    let line = format!(r#"WF PUSHB {{"jobs":[{}]}}"#, job("caller-chosen-00001"));
    let reply = world.ask(&line);
    assert!(matches!(&reply, Reply::Error(text) if text.contains("BROKER_DEDUP_WINDOW")));
    assert_eq!(queued(&mut world), 0);
}

#[test]
fn a_key_is_remembered_for_the_whole_window_from_the_first_job_on_that_is_taken_in() {
    let mut world = world();
    let group = |key: &str, hash: &str, more: &str| {
        format!(r#"{{"jobs":1{more},"key":{{"id":"{key}","hash":"{hash}"}}}}"#)
    };
    let (one, two, three) = ("caller-chosen-00001", "caller-chosen-00002", "caller-chosen-00003");
    let both = |hash: &str| {
        let (short, long) = (group("k", hash, r#","for":1"#), group("k", hash, ""));
        format!(r#""groups":[{short},{long}],"#)
    };
    assert_eq!(push(&mut world, &both("one"), &[job(one), job(two)]), HashMap::new());
    world.advance_time(seconds(2));
    // A job under a key is remembered as long as the key, whatever its `for` says.
    assert_eq!(push(&mut world, &both("one"), &[job(one), job(two)]), HashMap::new());
    assert_eq!(queued(&mut world), 2);
    let refused = push(&mut world, &both("two"), &[job(one), job(three)]);
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(queued(&mut world), 2);

    let with = |hash: &str| format!(r#""groups":[{}],"#, group("other", hash, ""));
    let bad = format!(r#"{{"jid":"{three}","jobtype":"t","args":[],"queue":"!!"}}"#);
    assert_eq!(push(&mut world, &with("one"), &[bad]).len(), 1);
    assert_eq!(push(&mut world, &with("two"), &[job(three)]), HashMap::new());
    assert_eq!(push(&mut world, &with("one"), &[job(three)]).len(), 1);
}

/// The store in memory panics where a key is put that is there.
#[test]
fn an_id_that_is_pushed_again_in_the_generation_in_which_it_was_forgotten_is_stored() {
    let mut world = world();
    push_one(&mut world, "caller-chosen-00001");
    world.advance_time(seconds(100));
    world.advance_time(seconds(u64::from(WINDOW) + 1));
    world.advance_time(seconds(1));
    push_one(&mut world, "caller-chosen-00001");
    push_one(&mut world, "caller-chosen-00001");
    assert_eq!((queued(&mut world), duplicates(&world)), (2, 1));
}

#[test]
fn clocks_restarts_flushes_and_other_limits_leave_every_new_id_remembered_at_once() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = world();
        let (mut limits, mut number) = (LIMITS, 0);
        let mut ids: Vec<String> = Vec::new();
        for _ in 0..300 {
            world.advance_time(seconds(random.u64(0..60)));
            match random.u8(0..40) {
                0 => world.reopen(),
                1 | 2 => {
                    let by = random.i64(-400..400) * 1_000_000;
                    world.now.wall = Timestamp::from_micros(world.now.wall.micros() + by);
                }
                3 => {
                    assert_eq!(world.ask("FLUSH"), Reply::OK);
                    ids.clear();
                }
                4 => {
                    let (seconds, bytes) = (random.u32(1..5000), random.u64(0..20_000));
                    limits = IdLimits { seconds, bytes };
                }
                5 => {
                    world.machine.remember_ids(IdLimits { seconds: 0, bytes: 1 });
                    world.advance_time(seconds(random.u64(0..600)));
                }
                _ => {}
            }
            world.machine.remember_ids(limits);
            for _ in 0..random.u8(0..9) {
                if random.u8(0..4) == 0
                    && let Some(id) = random.choice(&ids).cloned()
                {
                    push_one(&mut world, &id);
                    continue;
                }
                number += 1;
                let off = random.i64(-200..200);
                let id = uuid(&world, off, number);
                push_one(&mut world, &id);
                let before = queued(&mut world);
                push_one(&mut world, &id);
                assert_eq!(queued(&mut world), before, "seed {seed}: not remembered");
                ids.push(id);
            }
        }
    }
}
