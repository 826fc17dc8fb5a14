//! WF REQUEUE: a worker gives a job back, and sends the command until it is answered.

use faktory_wire::{Job, Reply};

use super::{A, B, World, check_tables, seconds};
use crate::machine::{ConnectionId, Reservation};

const ID: &str = "job-00000001";

/// A world whose connection A understands the numbers of reservations.
fn world() -> World {
    let mut world = World::new();
    world.wf = Some(1);
    world.connect(A, None);
    world
}

fn fetch(world: &mut World) -> (Job, u64) {
    let job = world.fetch();
    let number = job.reservation.expect("the number is told");
    (job, number)
}

fn requeue(world: &mut World, jid: &str, number: u64, more: &str) {
    let line = format!(r#"WF REQUEUE {{"jid":"{jid}","reservation":{number}{more}}}"#);
    assert_eq!(world.ask(&line), Reply::OK, "{line}");
    check_tables(world, &line);
}

/// Jobs that wait, are reserved, are scheduled and are to be retried; runs, and failed ones.
fn counts(world: &mut World) -> [u64; 6] {
    let info = world.info().faktory;
    let sets = info.sets;
    let (enqueued, runs) = (info.total_enqueued, info.total_processed);
    [enqueued, sets.working, sets.scheduled, sets.retries, runs, info.total_failures]
}

#[test]
fn a_job_that_is_given_back_waits_at_the_end_of_its_queue_as_it_was_and_counts_as_no_run() {
    let mut world = world();
    let failure = r#","failure":{"failed_at":"2026-01-02T03:04:05Z","retry_count":1,"remaining":2,
        "message":"m","errtype":"E"}"#;
    for retry in [0, 3] {
        let more = format!(r#","retry":{retry},"custom":{{"a":[1.50]}}{failure}"#);
        world.push(ID, &more.replace('\n', ""));
        world.push("job-00000002", "");
        let (before, number) = fetch(&mut world);
        requeue(&mut world, ID, number, "");
        // Sent again, because the answer was lost.
        requeue(&mut world, ID, number, "");
        let runs = counts(&mut world)[4];
        assert_eq!(counts(&mut world)[..4], [2, 0, 0, 0], "retry {retry}");
        assert_eq!(world.fetch().jid, "job-00000002");
        let (again, next) = fetch(&mut world);
        assert_ne!(number, next);
        assert_eq!(Job { reservation: Some(number), ..again }, before, "retry {retry}");
        // The command is about the first reservation, which has ended.
        requeue(&mut world, ID, number, "");
        assert_eq!(counts(&mut world)[1], 2, "retry {retry}");
        assert_eq!(counts(&mut world)[4..], [runs, 0]);
        for jid in [ID, "job-00000002"] {
            assert_eq!(world.ask(&format!(r#"ACK {{"jid":"{jid}"}}"#)), Reply::OK);
        }
    }
}

#[test]
fn a_job_that_is_given_back_for_later_is_scheduled_and_one_for_earlier_waits() {
    let mut world = world();
    world.push(ID, r#","retry":2"#);
    let (_, number) = fetch(&mut world);
    // The world begins at 03:04:05.
    requeue(&mut world, ID, number, r#","at":"2026-01-02T03:05:05Z""#);
    requeue(&mut world, ID, number, r#","at":"2026-01-02T03:06:05Z""#);
    assert_eq!(counts(&mut world), [0, 0, 1, 0, 0, 0]);
    world.advance_time(seconds(59));
    assert_eq!(counts(&mut world)[..3], [0, 0, 1]);
    world.advance_time(seconds(1));
    assert_eq!(counts(&mut world)[..3], [1, 0, 0]);
    let (job, number) = fetch(&mut world);
    assert_eq!((job.retry, job.failure), (Some(2), None));
    requeue(&mut world, ID, number, r#","at":"2026-01-02T03:05:05Z""#);
    assert_eq!(counts(&mut world), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_scheduled_job_that_was_given_back_is_found_by_its_id() {
    let mut world = world();
    world.push(ID, "");
    let (_, number) = fetch(&mut world);
    requeue(&mut world, ID, number, r#","at":"2100-01-01T00:00:00Z""#);
    let filter = format!(r#"{{"jids":["{ID}"]}}"#);
    world.ask(&format!(r#"MUTATE {{"cmd":"requeue","target":"scheduled","filter":{filter}}}"#));
    assert_eq!(counts(&mut world), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn only_the_reservation_of_this_id_and_number_ends() {
    let mut world = world();
    world.push(ID, r#","backtrace":1,"reserve_for":60"#);
    world.push(ID, r#","backtrace":2"#);
    let (first, second) = (fetch(&mut world), fetch(&mut world));
    requeue(&mut world, ID, second.1 + 1000, "");
    requeue(&mut world, "job-00000002", second.1, "");
    assert_eq!(counts(&mut world)[..2], [0, 2]);
    requeue(&mut world, ID, second.1, "");
    assert_eq!(counts(&mut world)[..2], [1, 1]);
    assert_eq!(world.fetch().backtrace, Some(2));
    // The first has expired: the job is to be retried, and the command comes too late.
    world.advance_time(seconds(71));
    requeue(&mut world, ID, first.1, "");
    assert_eq!(counts(&mut world), [0, 1, 0, 1, 1, 1]);
}

#[test]
fn a_time_that_cannot_be_read_is_refused_by_name_and_the_job_stays_reserved() {
    let mut world = world();
    world.push(ID, "");
    let (_, number) = fetch(&mut world);
    let line =
        format!(r#"WF REQUEUE {{"jid":"{ID}","reservation":{number},"at":"2026-01-02 03:04"}}"#);
    let Reply::Error(text) = world.ask(&line) else { panic!("taken") };
    assert!(text.contains("at is not an RFC 3339 time with a zone"), "{text}");
    assert_eq!(counts(&mut world)[..2], [0, 1]);
}

#[test]
fn only_a_client_that_understands_the_number_is_told_it() {
    let mut world = world();
    let fetched = |world: &mut World, wf| {
        world.wf = wf;
        world.connect(B, None);
        world.push(ID, "");
        world.send(B, "FETCH default");
        let (_, reply, _) = world.replies.remove(0);
        assert_eq!(world.ask(&format!(r#"ACK {{"jid":"{ID}"}}"#)), Reply::OK);
        let Reply::Bulk(body) = reply else { panic!("{reply:?}") };
        String::from_utf8(body.to_vec()).unwrap()
    };
    let foreign = fetched(&mut world, None);
    assert!(foreign.ends_with(r#""enqueued_at":"2026-01-02T03:04:05.000000Z"}"#), "{foreign}");
    assert_eq!(fetched(&mut world, Some(0)), foreign);
    let ours = fetched(&mut world, Some(1));
    let (job, number) = ours.split_once(r#","reservation":"#).unwrap();
    assert_eq!(format!("{job}}}"), foreign);
    assert!(number.strip_suffix('}').unwrap().parse::<u64>().is_ok(), "{ours}");
    // A FETCH that waits is served in the same way.
    world.send(B, "FETCH default");
    world.send(A, &format!(r#"PUSH {{"jid":"{ID}","jobtype":"t","args":[]}}"#));
    let of_b = world.replies.iter().find(|(connection, ..)| *connection == B).unwrap();
    assert!(World::job(&of_b.1).reservation.is_some());
}

#[test]
fn a_job_that_is_given_back_is_handed_to_a_fetch_that_waits() {
    let mut world = world();
    world.push(ID, "");
    let (_, number) = fetch(&mut world);
    world.send(B, "FETCH default");
    world.send(A, &format!(r#"WF REQUEUE {{"jid":"{ID}","reservation":{number}}}"#));
    let [(A, Reply::Simple(_), _), (B, Reply::Bulk(_), _)] = &sorted(&world)[..] else {
        panic!("{:?}", world.replies)
    };
}

fn sorted(world: &World) -> Vec<(ConnectionId, Reply, Option<Vec<Reservation>>)> {
    let mut replies = world.replies.clone();
    replies.sort_by_key(|(connection, ..)| *connection);
    replies
}

#[test]
fn on_a_full_disk_a_job_is_given_back_all_the_same() {
    let mut world = world();
    world.push(ID, "");
    let (_, number) = fetch(&mut world);
    world.machine.set_disk_full(true);
    requeue(&mut world, ID, number, "");
    assert_eq!(counts(&mut world)[..2], [1, 0]);
    assert_eq!(world.machine.take_refused_pushes(), 0);
}

#[test]
fn a_job_whose_queue_was_removed_gets_its_queue_again() {
    for more in ["", r#","at":"2026-01-02T03:05:05Z""#] {
        let mut world = world();
        world.push(ID, "");
        let (_, number) = fetch(&mut world);
        world.ask("QUEUE REMOVE default");
        world.advance_time(seconds(0));
        requeue(&mut world, ID, number, more);
        world.advance_time(seconds(60));
        assert_eq!(world.fetch().jid, ID, "{more}");
        check_tables(&world, more);
    }
}

#[test]
fn a_job_whose_reply_was_thought_lost_is_given_back_from_its_queue() {
    for (more, expected) in [("", [1, 0, 0]), (r#","at":"2100-01-01T00:00:00Z""#, [0, 0, 1])] {
        let mut world = world();
        let cut = ConnectionId(11);
        world.connect(cut, None);
        world.push(ID, "");
        world.send(cut, "FETCH default");
        let number = World::job(&world.replies[0].1).reservation.unwrap();
        let returned: Vec<_> =
            world.take_reservations().into_iter().map(Reservation::perhaps_arrived).collect();
        world.disconnect(cut, &returned);
        assert_eq!(counts(&mut world)[..3], [1, 0, 0]);
        requeue(&mut world, ID, number + 1, r#","at":"2100-01-01T00:00:00Z""#);
        assert_eq!(counts(&mut world)[..3], [1, 0, 0], "another reservation");
        for _ in 0..2 {
            requeue(&mut world, ID, number, more);
            assert_eq!(counts(&mut world)[..3], expected, "{more}");
        }
        // The worker has said what became of it: an ACK is about nothing now.
        assert_eq!(world.ask(&format!(r#"ACK {{"jid":"{ID}"}}"#)), Reply::OK);
        assert_eq!(counts(&mut world)[..3], expected, "{more}");
    }
}

#[test]
fn a_reservation_survives_a_crash_by_its_number_and_no_number_is_given_out_again() {
    let mut world = world();
    world.push(ID, "");
    let (_, undone) = fetch(&mut world);
    // The FETCH was not synced: the crash undoes it, twice, and a third worker gets the job.
    world.reopen();
    let (_, undone_too) = fetch(&mut world);
    world.reopen();
    let (_, number) = fetch(&mut world);
    requeue(&mut world, ID, undone, "");
    requeue(&mut world, ID, undone_too, "");
    assert_eq!(counts(&mut world)[..2], [0, 1], "the third worker has the job");
    world.push("job-00000002", "");
    world.reopen();
    requeue(&mut world, ID, number, "");
    assert_eq!(counts(&mut world), [2, 0, 0, 0, 0, 0]);
    // What was answered was synced.
    world.reopen();
    assert_eq!(counts(&mut world), [2, 0, 0, 0, 0, 0]);
    check_tables(&world, "at the end");
}
