//! WF FETCH and WF ACK: many jobs in a command.

use faktory_wire::{Job, Reply};

use super::{A, B, World, check_tables, seconds};
use crate::machine::replies::LARGE_REPLY_BYTES;
use crate::machine::work::SLICE_STEPS;
use crate::machine::{ConnectionId, Reservation};

fn fetch_line(most: usize, queues: &str) -> String {
    format!(r#"WF FETCH {{"n":{most},"queues":[{queues}]}}"#)
}

/// The jobs of an answer, each from its line.
fn jobs(reply: &Reply) -> Vec<Job> {
    let Reply::Bulk(body) = reply else { panic!("no jobs: {reply:?}") };
    body.split(|byte| *byte == b'\n').map(|line| Job::parse(line).unwrap()).collect()
}

fn fetch(world: &mut World, most: usize) -> Vec<Job> {
    jobs(&world.ask(&fetch_line(most, r#""default""#)))
}

/// A world with so many jobs, numbered from 0 on.
fn with_jobs(count: usize) -> World {
    let mut world = World::new();
    world.syncs = false;
    (0..count).for_each(|number| world.push(&jid(number), ""));
    world
}

fn jid(number: usize) -> String {
    format!("job-{number:08}")
}

fn jids(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| job.jid.as_str()).collect()
}

fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(jid).collect()
}

/// The WF ACK of these jobs.
fn ack_line<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> String {
    let done = |job: &Job| format!(r#"["{}",{}]"#, job.jid, job.reservation.unwrap());
    let jobs: Vec<_> = jobs.into_iter().map(done).collect();
    format!(r#"WF ACK {{"jobs":[{}]}}"#, jobs.join(","))
}

/// Jobs that wait, and that are reserved; runs, and failed ones.
fn counts(world: &mut World) -> [u64; 4] {
    let info = world.info().faktory;
    [info.total_enqueued, info.sets.working, info.total_processed, info.total_failures]
}

#[test]
fn a_fetch_of_many_gets_the_first_jobs_of_the_first_queues_each_under_its_own_number() {
    let mut world = with_jobs(5);
    for number in 5..8 {
        world.push(&jid(number), r#","queue":"second""#);
    }
    let line = fetch_line(6, r#""none","default","second""#);
    let fetched = jobs(&world.ask(&line));
    assert_eq!(jids(&fetched), numbered(0..6));
    let numbers: Vec<_> = fetched.iter().map(|job| job.reservation.unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(counts(&mut world), [2, 6, 0, 0]);
    check_tables(&world, "after the fetch");
    assert_eq!(jids(&jobs(&world.ask(&line))), numbered(6..8), "all that there are");
    assert_eq!(world.ask(&ack_line(&fetched)), Reply::OK);
    assert_eq!(counts(&mut world), [0, 2, 6, 0]);
    check_tables(&world, "after the ACK");
}

#[test]
fn a_fetch_of_many_waits_where_there_is_no_job_and_is_answered_with_what_comes() {
    let mut world = World::new();
    world.send(A, &fetch_line(9, r#""default""#));
    assert_eq!(world.replies, []);
    world.send(B, r#"PUSH {"jid":"job-00000000","jobtype":"t","args":[]}"#);
    let to_a = world.replies.iter().position(|(connection, ..)| *connection == A).unwrap();
    assert_eq!(jids(&jobs(&world.replies.remove(to_a).1)), numbered(0..1));
    world.replies.clear();
    world.send(A, &fetch_line(9, r#""default""#));
    world.advance_time(seconds(2));
    assert_eq!(world.replies, [(A, Reply::Nothing, None)]);
}

#[test]
fn fetches_that_wait_share_the_jobs_that_come() {
    let mut world = World::new();
    let third = ConnectionId(3);
    world.connect(third, None);
    world.send(A, &fetch_line(100, r#""default""#));
    world.send(B, &fetch_line(100, r#""default""#));
    let pushed: Vec<_> = (0..9)
        .map(|number| format!(r#"{{"jid":"{}","jobtype":"t","args":[]}}"#, jid(number)))
        .collect();
    world.send(third, &format!("PUSHB [{}]", pushed.join(",")));
    let got = |world: &World, to| {
        let of = world.replies.iter().find(|(connection, ..)| *connection == to).unwrap();
        jobs(&of.1).len()
    };
    assert_eq!((got(&world, A), got(&world, B)), (4, 5));
}

#[test]
fn the_answer_to_a_fetch_of_many_is_no_large_one_but_for_one_large_job() {
    let mut world = World::new();
    let of = |bytes: usize| format!(r#","custom":{{"x":"{}"}}"#, "x".repeat(bytes));
    for (number, bytes) in [20_000, 20_000, 20_000, 20_000, 200_000, 10].into_iter().enumerate() {
        world.push(&jid(number), &of(bytes));
    }
    for expected in [0..3, 3..4, 4..5, 5..6] {
        let reply = world.ask(&fetch_line(100, r#""default""#));
        assert_eq!(jids(&jobs(&reply)), numbered(expected.clone()));
        let Reply::Bulk(body) = reply else { panic!("{reply:?}") };
        assert!(body.len() <= LARGE_REPLY_BYTES || expected == (4..5), "{expected:?}");
        check_tables(&world, "a job that had no room is the first of its queue");
    }
    assert_eq!(counts(&mut world), [0, 6, 0, 0]);
}

#[test]
fn a_fetch_of_many_gets_no_more_than_a_slice_and_an_ack_goes_on_in_slices() {
    let mut world = with_jobs(950);
    let mut fetched = Vec::new();
    while fetched.len() < 950 {
        let (reply, slices) = world.ask_in_slices(&fetch_line(1000, r#""default""#), 0);
        let some = jobs(&reply);
        assert!(slices == 1 && some.len() <= SLICE_STEPS, "{slices} {}", some.len());
        fetched.extend(some);
    }
    assert_eq!(jids(&fetched), numbered(0..950));
    let (reply, slices) = world.ask_in_slices(&ack_line(&fetched), 0);
    assert_eq!(reply, Reply::OK);
    assert!((5..8).contains(&slices), "{slices}");
    assert_eq!(counts(&mut world)[1..3], [0, 950]);
    check_tables(&world, "at the end");
}

#[test]
fn a_quiet_worker_and_a_client_that_sends_no_more_get_no_jobs() {
    let mut world = with_jobs(3);
    let quiet = ConnectionId(11);
    world.connect(quiet, Some("worker-1"));
    world.send(quiet, r#"BEAT {"wid":"worker-1","current_state":"quiet"}"#);
    world.replies.clear();
    world.send(quiet, &fetch_line(3, r#""default""#));
    world.advance_time(seconds(2));
    assert_eq!(world.replies.remove(0).1, Reply::Nothing);
    world.machine.input_ended(&mut world.store, world.now, B).unwrap();
    world.send(B, &fetch_line(3, r#""default""#));
    assert_eq!(world.replies.remove(0).1, Reply::Nothing);
    assert_eq!(fetch(&mut world, 3).len(), 3);
}

#[test]
fn all_jobs_of_an_answer_that_was_not_delivered_return_in_their_order() {
    let mut world = with_jobs(5);
    let cut = ConnectionId(11);
    world.connect(cut, None);
    world.send(cut, &fetch_line(4, r#""default""#));
    let undelivered = world.take_reservations();
    assert_eq!(undelivered.len(), 4);
    world.disconnect(cut, &undelivered);
    assert_eq!(counts(&mut world), [5, 0, 0, 0]);
    assert_eq!(jids(&fetch(&mut world, 9)), numbered(0..5));
    check_tables(&world, "at the end");
}

#[test]
fn an_ack_that_is_sent_again_ends_each_reservation_once_and_no_other_one() {
    let mut world = with_jobs(2);
    world.push(&jid(1), "");
    let fetched = fetch(&mut world, 3);
    // Two jobs have the same id, and a job is named twice.
    let line = ack_line([&fetched[0], &fetched[2], &fetched[0]]);
    for _ in 0..2 {
        assert_eq!(world.ask(&line), Reply::OK);
        assert_eq!(counts(&mut world), [0, 1, 2, 0]);
        check_tables(&world, "after an ACK");
    }
    // The other one has expired, and its job is to be retried.
    world.advance_time(seconds(1811));
    assert_eq!(world.ask(&ack_line(&fetched)), Reply::OK);
    assert_eq!(counts(&mut world), [0, 0, 3, 1]);
    check_tables(&world, "after the expiry");
}

#[test]
fn an_ack_is_about_the_id_and_the_number_together() {
    let mut world = with_jobs(2);
    let mut fetched = fetch(&mut world, 2);
    let number = fetched[0].reservation;
    fetched[0].reservation = fetched[1].reservation.map(|number| number + 1000);
    fetched[1].reservation = number;
    assert_eq!(world.ask(&ack_line(&fetched)), Reply::OK);
    assert_eq!(counts(&mut world), [0, 2, 0, 0]);
}

#[test]
fn an_ack_ends_jobs_whose_answer_was_thought_lost_in_their_queue() {
    let mut world = with_jobs(4);
    let cut = ConnectionId(11);
    world.connect(cut, None);
    world.send(cut, &fetch_line(3, r#""default""#));
    let fetched = jobs(&world.replies[0].1);
    let returned: Vec<_> =
        world.take_reservations().into_iter().map(Reservation::perhaps_arrived).collect();
    world.disconnect(cut, &returned);
    assert_eq!(counts(&mut world), [4, 0, 0, 0]);
    for _ in 0..2 {
        assert_eq!(world.ask(&ack_line(&fetched[1..])), Reply::OK);
        assert_eq!(counts(&mut world), [2, 0, 2, 0]);
        check_tables(&world, "after an ACK");
    }
    let again = fetch(&mut world, 9);
    assert_eq!(jids(&again), [jid(0), jid(3)]);
    // The first one is another worker's now, under another number.
    assert_eq!(world.ask(&ack_line(&fetched)), Reply::OK);
    assert_eq!(counts(&mut world), [0, 2, 2, 0]);
}

#[test]
fn what_an_ack_was_answered_survives_a_crash() {
    let mut world = with_jobs(3);
    world.syncs = true;
    let fetched = fetch(&mut world, 3);
    assert_eq!(world.ask(&ack_line(&fetched[..2])), Reply::OK);
    world.reopen();
    assert_eq!(counts(&mut world), [0, 1, 2, 0]);
    assert_eq!(world.ask(&ack_line(&fetched)), Reply::OK);
    assert_eq!(counts(&mut world), [0, 0, 3, 0]);
    check_tables(&world, "after the crash");
}
