//! Rounds, and who holds them up.

use testkit::Logged;

use super::*;

const A: ConnectionId = ConnectionId(1);
const B: ConnectionId = ConnectionId(2);
const C: ConnectionId = ConnectionId(3);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn new() -> (CatchUp, Asked) {
    CatchUp::new(seconds(2))
}

#[test]
fn a_round_is_over_when_all_have_answered_and_what_was_queued_is_taken_in() {
    let (mut catch_up, asked) = new();
    catch_up.opened(A);
    catch_up.opened(B);
    let arriving = asked.arriving(C);
    catch_up.begin(seconds(60), true);
    let number = asked.unanswered().unwrap();
    let over =
        |catch_up: &mut CatchUp| catch_up.finished(seconds(61), HeldUp::Nothing, || 1).is_some();
    assert!(!over(&mut catch_up));
    catch_up.answered(A, number);
    catch_up.left(B);
    catch_up.accepted(number, C);
    let in_handshake = catch_up.finished(seconds(61), HeldUp::Nothing, || 0);
    assert_eq!(in_handshake, None, "a connection is in its handshake");
    drop(arriving);
    assert!(!over(&mut catch_up), "an event is queued");
    catch_up.opened(C);
    catch_up.took_event();
    assert!(!over(&mut catch_up), "the event was a client whose commands come behind it");
    catch_up.answered(C, number);
    assert!(!over(&mut catch_up));
    catch_up.took_event();
    let end = catch_up.finished(seconds(61), HeldUp::AtWork, || 7);
    assert_eq!(end, None, "a command is not done");
    assert_eq!(catch_up.finished(seconds(61), HeldUp::Nothing, || 7), Some(seconds(60)));
    assert!(!catch_up.may_begin(seconds(60)) && catch_up.may_begin(seconds(61)));
}

#[test]
fn connections_that_came_after_the_round_had_begun_hold_up_nothing() {
    let (mut catch_up, asked) = new();
    let before = asked.arriving(A);
    catch_up.begin(seconds(60), true);
    let waited = asked.arriving(B);
    catch_up.accepted(asked.unanswered().unwrap(), B);
    let _later = asked.arriving(C);
    drop(before);
    assert_eq!(catch_up.finished(seconds(61), HeldUp::Nothing, || 0), None);
    drop(waited);
    catch_up.opened(ConnectionId(4));
    assert_eq!(catch_up.finished(seconds(61), HeldUp::Nothing, || 0), Some(seconds(60)));
}

#[test]
fn strangers_hold_up_a_round_for_two_handshakes_and_a_want_of_room_for_five_seconds() {
    let (mut catch_up, asked) = new();
    let _silent = asked.arriving(A);
    catch_up.begin(seconds(60), true);
    assert_eq!(catch_up.finished(seconds(63), HeldUp::Nothing, || 0), None);
    // The listener has not said that it has accepted all.
    assert_eq!(catch_up.finished(seconds(64), HeldUp::NoRoom, || 0), None);
    catch_up.opened(B);
    assert_eq!(catch_up.finished(seconds(65), HeldUp::NoRoom, || 0), Some(seconds(60)));
}

#[test]
fn an_answer_to_an_earlier_round_does_not_count_and_every_round_ends() {
    let (mut catch_up, asked) = new();
    let nothing = HeldUp::Nothing;
    catch_up.opened(A);
    catch_up.begin(seconds(60), false);
    assert_eq!(catch_up.finished(seconds(75), HeldUp::AtWork, || 0), Some(seconds(60)));
    catch_up.begin(seconds(80), false);
    catch_up.answered(A, asked.unanswered().unwrap() - 1);
    assert_eq!(catch_up.finished(seconds(81), nothing, || 0), None);
    catch_up.answered(A, asked.unanswered().unwrap());
    assert_eq!(catch_up.finished(seconds(81), nothing, || 0), Some(seconds(80)));
}

#[tokio::test]
async fn a_connection_that_opens_during_a_round_is_asked_too_and_each_round_once() {
    let (mut catch_up, mut asked) = new();
    catch_up.begin(seconds(1), true);
    // The listener has answered, and accepts a connection after that.
    assert_eq!(asked.next().await, 1);
    asked.answered(1);
    assert_eq!(asked.unanswered(), None);
    let mut connection = asked.for_connection();
    assert_eq!((connection.next().await, connection.next().await), (1, 1));
    connection.answered(1);
    assert_eq!(connection.unanswered(), None);
    catch_up.begin(seconds(2), true);
    assert_eq!(connection.next().await, 2);
}

#[tokio::test]
async fn a_late_answer_to_a_round_leaves_the_next_one_unanswered() {
    let (mut catch_up, asked) = new();
    catch_up.begin(seconds(1), true);
    let mut connection = asked.for_connection();
    let round = connection.next().await;
    catch_up.begin(seconds(20), true);
    connection.answered(round);
    assert_eq!(connection.unanswered(), Some(2));
    connection.answered(2);
    assert_eq!(connection.unanswered(), None);
}

#[test]
fn the_warning_of_a_late_round_says_what_it_waited_for() {
    let log = Logged::here();
    let (mut catch_up, asked) = new();
    let late = "judged before";
    catch_up.opened(A);
    catch_up.begin(seconds(60), false);
    assert!(catch_up.finished(seconds(75), HeldUp::Nothing, || 0).is_some());
    catch_up.begin(seconds(80), false);
    catch_up.answered(A, asked.unanswered().unwrap());
    assert!(catch_up.finished(seconds(95), HeldUp::AtWork, || 3).is_some());
    let lines = log.lines_with(late);
    let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(first.contains(r#"unheard_connections=1 commands="done""#), "{first}");
    let at_work = r#"unheard_connections=0 commands="at work" queued_events=3"#;
    assert!(second.contains(at_work), "{second}");
}
