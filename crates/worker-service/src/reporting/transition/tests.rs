use super::*;

/// A time that differs from others by whole seconds.
fn later(seconds: u64) -> Instant {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *BEGUN.get_or_init(Instant::now) + Duration::from_secs(seconds)
}

#[test]
fn the_end_of_a_run_is_settled_by_an_answer_and_sent_again_after_a_refusal() {
    use EndAnswer::{Lost, NotSent, Odd, Refused, Taken, Unclear, Useless};
    use KillAnswer::{Answered, Missing, NotAsked};
    // Sent for the second time.
    let sent = Sent::default().goes_out(later(1)).goes_out(later(2));
    assert_eq!(sent, Sent { first: Some(later(1)), before: Some(later(1)) });
    let never = Sent::default();
    for (end, kill, expected) in [
        (Taken, NotAsked, (sent, Verdict::Settled)),
        (Taken, Answered, (sent, Verdict::Settled)),
        (Taken, Missing, (sent, Verdict::NextConnection)),
        (Useless, NotAsked, (sent, Verdict::Settled)),
        (Useless, Answered, (sent, Verdict::Settled)),
        (Useless, Missing, (sent, Verdict::NextConnection)),
        (Odd, NotAsked, (sent, Verdict::Settled)),
        (Odd, Answered, (sent, Verdict::Settled)),
        (Odd, Missing, (sent, Verdict::NextConnection)),
        (Refused, NotAsked, (never, Verdict::SendAgain)),
        (Refused, Answered, (never, Verdict::SendAgain)),
        (Refused, Missing, (sent, Verdict::NextConnection)),
        (Unclear, NotAsked, (sent, Verdict::SendAgain)),
        (Unclear, Answered, (sent, Verdict::SendAgain)),
        (Unclear, Missing, (sent, Verdict::NextConnection)),
        (Lost, NotAsked, (sent, Verdict::NextConnection)),
        (Lost, Answered, (sent, Verdict::NextConnection)),
        (Lost, Missing, (sent, Verdict::NextConnection)),
        // The first time may have arrived all the same.
        (NotSent, NotAsked, (sent, Verdict::NextConnection)),
        (NotSent, Answered, (sent, Verdict::NextConnection)),
        (NotSent, Missing, (sent, Verdict::NextConnection)),
    ] {
        assert_eq!(after_end(sent, end, kill), expected, "{end:?} {kill:?}");
    }
}

#[test]
fn a_fail_that_did_not_leave_this_machine_is_as_one_that_was_never_sent() {
    let first_time = Sent::default().goes_out(later(1));
    let (sent, _) = after_end(first_time, EndAnswer::NotSent, KillAnswer::NotAsked);
    assert_eq!(sent, Sent::default());
}

#[test]
fn a_requeued_job_is_neither_lost_nor_doubled_whatever_the_answers() {
    use Answered::PushAndAck as Both;
    use Verdict::{NextConnection, SendAgain, Settled};
    use {AckAnswer as Ack, PushAnswer as Push};
    let ack_only = Remaining::Ack { until: later(3) };
    let (nothing, in_doubt) = (Remaining::Nothing, Remaining::InDoubt);
    for (answered, may_run_twice, only_once) in [
        // The work server has the copy: only the ACK may be missing.
        (Both(Push::Taken, Ack::Taken), (nothing, Settled), None),
        (Both(Push::Taken, Ack::Refused), (ack_only, SendAgain), None),
        (Both(Push::Taken, Ack::Odd), (ack_only, SendAgain), None),
        (Both(Push::Taken, Ack::Lost), (ack_only, NextConnection), None),
        (Both(Push::Taken, Ack::NotSent), (ack_only, NextConnection), None),
        // The work server does not have the copy.
        (Both(Push::Refused, Ack::Taken), (Remaining::Push, SendAgain), None),
        (Both(Push::Refused, Ack::Refused), (Remaining::PushAndAck, SendAgain), None),
        (Both(Push::Refused, Ack::Odd), (Remaining::Push, SendAgain), None),
        (
            Both(Push::Refused, Ack::Lost),
            (Remaining::Push, NextConnection),
            Some((in_doubt, NextConnection)),
        ),
        (Both(Push::Refused, Ack::NotSent), (Remaining::PushAndAck, NextConnection), None),
        // The work server may have the copy.
        (Both(Push::Unclear, Ack::Taken), (Remaining::Push, SendAgain), Some((nothing, Settled))),
        (Both(Push::Unclear, Ack::Refused), (in_doubt, NextConnection), None),
        (Both(Push::Unclear, Ack::Odd), (in_doubt, NextConnection), None),
        (Both(Push::Unclear, Ack::Lost), (in_doubt, NextConnection), None),
        (Both(Push::Unclear, Ack::NotSent), (in_doubt, NextConnection), None),
        (Both(Push::Lost, Ack::Taken), (Remaining::Push, NextConnection), Some((nothing, Settled))),
        (Both(Push::Lost, Ack::Refused), (in_doubt, NextConnection), None),
        (Both(Push::Lost, Ack::Odd), (in_doubt, NextConnection), None),
        (Both(Push::Lost, Ack::Lost), (in_doubt, NextConnection), None),
        (Both(Push::Lost, Ack::NotSent), (in_doubt, NextConnection), None),
        (
            Both(Push::NotSent, Ack::Taken),
            (Remaining::Push, NextConnection),
            Some((nothing, Settled)),
        ),
        (Both(Push::NotSent, Ack::Refused), (in_doubt, NextConnection), None),
        (Both(Push::NotSent, Ack::Odd), (in_doubt, NextConnection), None),
        (Both(Push::NotSent, Ack::Lost), (in_doubt, NextConnection), None),
        (Both(Push::NotSent, Ack::NotSent), (Remaining::PushAndAck, NextConnection), None),
        // The ACK was taken earlier: only the push is missing.
        (Answered::Push(Push::Taken), (nothing, Settled), None),
        (Answered::Push(Push::Refused), (Remaining::Push, SendAgain), None),
        (Answered::Push(Push::Unclear), (Remaining::Push, SendAgain), Some((nothing, Settled))),
        (Answered::Push(Push::Lost), (Remaining::Push, NextConnection), Some((nothing, Settled))),
        (Answered::Push(Push::NotSent), (Remaining::Push, NextConnection), None),
        // The push was taken earlier: only the ACK is missing.
        (Answered::Ack(Ack::Taken), (nothing, Settled), None),
        (Answered::Ack(Ack::Refused), (ack_only, SendAgain), None),
        (Answered::Ack(Ack::Odd), (ack_only, SendAgain), None),
        (Answered::Ack(Ack::Lost), (ack_only, NextConnection), None),
        (Answered::Ack(Ack::NotSent), (ack_only, NextConnection), None),
    ] {
        let known = |is_only_once| Known { is_only_once, is_last_push: false, ack_until: later(3) };
        assert_eq!(after_requeue(answered, known(false)), may_run_twice, "{answered:?}");
        let only_once = only_once.unwrap_or(may_run_twice);
        assert_eq!(after_requeue(answered, known(true)), only_once, "{answered:?}, retry 0");
    }
}

#[test]
fn a_push_that_is_refused_for_ever_is_given_up_and_an_unclear_one_waits_for_a_connection() {
    let known = Known { is_only_once: false, is_last_push: true, ack_until: later(3) };
    for ack in
        [AckAnswer::Taken, AckAnswer::Refused, AckAnswer::Odd, AckAnswer::Lost, AckAnswer::NotSent]
    {
        let answered = Answered::PushAndAck(PushAnswer::Refused, ack);
        let given_up = (Remaining::Nothing, Verdict::PushGivenUp);
        assert_eq!(after_requeue(answered, known), given_up, "{ack:?}");
    }
    assert_eq!(
        after_requeue(Answered::Push(PushAnswer::Refused), known),
        (Remaining::Nothing, Verdict::PushGivenUp)
    );
    // Whether the job is still reserved is not known: it is left to its reservation.
    let only_once = Known { is_only_once: true, ..known };
    assert_eq!(
        after_requeue(Answered::PushAndAck(PushAnswer::Refused, AckAnswer::Lost), only_once),
        (Remaining::InDoubt, Verdict::NextConnection)
    );
    assert_eq!(
        after_requeue(Answered::PushAndAck(PushAnswer::Unclear, AckAnswer::Taken), known),
        (Remaining::Push, Verdict::NextConnection)
    );
    assert_eq!(
        after_requeue(Answered::Push(PushAnswer::Unclear), known),
        (Remaining::Push, Verdict::NextConnection)
    );
}

#[test]
fn the_one_line_that_gives_a_job_back_is_sent_until_it_is_answered_and_never_followed_by_a_push() {
    use EndAnswer::{Lost, NotSent, Odd, Refused, Taken, Unclear, Useless};
    use Verdict::{NextConnection, SendAgain, Settled};
    let (nothing, in_doubt) = (Remaining::Nothing, Remaining::OneLine { is_again: true });
    for (answer, first, again) in [
        (Taken, (nothing, Settled), (nothing, Settled)),
        (Useless, (nothing, Settled), (nothing, Settled)),
        // Not carried out, but an earlier one may have been.
        (Refused, (Remaining::PushAndAck, SendAgain), (in_doubt, SendAgain)),
        (NotSent, (Remaining::PushAndAck, NextConnection), (in_doubt, NextConnection)),
        (Unclear, (in_doubt, SendAgain), (in_doubt, SendAgain)),
        (Odd, (in_doubt, SendAgain), (in_doubt, SendAgain)),
        (Lost, (in_doubt, NextConnection), (in_doubt, NextConnection)),
    ] {
        assert_eq!(after_one_line(false, answer), first, "{answer:?}");
        assert_eq!(after_one_line(true, answer), again, "{answer:?}, sent again");
    }
}
