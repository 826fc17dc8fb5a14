//! The consequences of the answers to a report: three pure functions, each a table over every
//! combination of answers. The answers are told apart in `answers.rs`; what is sent stands in
//! `pending_report.rs`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use super::answers::{AckAnswer, EndAnswer, KillAnswer, PushAnswer};

/// The pause before a report that was refused is sent again over the same connection.
pub(crate) const SEND_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What is to be done with a report after the answers to its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: the report is acknowledged, or of no more use.
    Settled,
    /// To send the report again over this connection, after [`SEND_AGAIN_AFTER`].
    SendAgain,
    /// To keep the report for the next connection, where it may still be sent.
    NextConnection,
    /// Nothing: the work server has refused the push of a job so often that the job is given up.
    PushGivenUp,
}

/// When the FAIL of a job may have reached the work server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sent {
    /// When the FAIL first went out so that it may have arrived; none while it certainly has not.
    pub(super) first: Option<Instant>,
    /// The value of `first` before the FAIL went out for the last time.
    pub(super) before: Option<Instant>,
}

impl Sent {
    /// The FAIL goes out now, and may arrive.
    pub(super) const fn goes_out(self, now: Instant) -> Self {
        let first = match self.first {
            Some(first) => first,
            None => now,
        };
        Self { first: Some(first), before: self.first }
    }

    /// Undoes [`Sent::goes_out`]: the FAIL did not leave this machine.
    const fn taken_back(self) -> Self {
        Self { first: self.before, before: self.before }
    }

    /// The FAIL was not carried out.
    const NEVER: Self = Self { first: None, before: None };
}

/// What follows from the answers to an ACK, or to a FAIL and perhaps a MUTATE: when the report may
/// have arrived by then, and what is to be done.
pub(super) const fn after_end(sent: Sent, end: EndAnswer, kill: KillAnswer) -> (Sent, Verdict) {
    use EndAnswer::{Lost, NotSent, Odd, Refused, Taken, Unclear, Useless};
    use KillAnswer::{Answered, Missing, NotAsked};
    match (end, kill) {
        (Taken | Useless | Odd, NotAsked | Answered) => (sent, Verdict::Settled),
        (Refused, NotAsked | Answered) => (Sent::NEVER, Verdict::SendAgain),
        (Unclear, NotAsked | Answered) => (sent, Verdict::SendAgain),
        (Taken | Useless | Odd | Refused | Unclear, Missing) => (sent, Verdict::NextConnection),
        (Lost, NotAsked | Answered | Missing) => (sent, Verdict::NextConnection),
        (NotSent, NotAsked | Missing) => (sent.taken_back(), Verdict::NextConnection),
        (NotSent, Answered) => (sent, Verdict::NextConnection),
    }
}

/// The lines of a requeued job that the work server has still to carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remaining {
    /// The push and the ACK: neither has been sent, or neither was carried out. Where the work
    /// server takes it, one line instead.
    PushAndAck,
    /// The one line that gives a job back. It ends one reservation or does nothing, and so may be
    /// sent again; `is_again` where it may have arrived before it was sent last.
    OneLine { is_again: bool },
    /// The push and the ACK: both may have been carried out. Neither is sent again, since a second
    /// push would be a second job.
    InDoubt,
    /// The push. The ACK was taken, or its fate is unknown and a second run is better than a lost
    /// job.
    Push,
    /// The ACK: the work server has the copy. The ACK may be sent until the copy is due: then it
    /// could end another worker's run of the copy.
    Ack { until: Instant },
    /// Nothing: the report is settled.
    Nothing,
}

/// The lines of a requeued job that were sent together, with their answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    PushAndAck(PushAnswer, AckAnswer),
    Push(PushAnswer),
    Ack(AckAnswer),
}

/// What is known of a requeued job beside the answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The job has `retry: 0`: there must never be two of it.
    pub(super) is_only_once: bool,
    /// The push went out as often as it may where the work server refuses it.
    pub(super) is_last_push: bool,
    /// Until when the ACK alone may be sent, once the work server has the copy.
    pub(super) ack_until: Instant,
}

/// What follows from the answers to the push of a job and its ACK: which lines remain, and what is
/// to be done.
pub(super) const fn after_requeue(answered: Answered, known: Known) -> (Remaining, Verdict) {
    use Verdict::{NextConnection, SendAgain};
    use {AckAnswer as Ack, Answered::PushAndAck, PushAnswer as Push};
    const SETTLED: (Remaining, Verdict) = (Remaining::Nothing, Verdict::Settled);
    let ack_only = Remaining::Ack { until: known.ack_until };
    let once = known.is_only_once;
    match answered {
        PushAndAck(Push::Taken, Ack::Taken) => SETTLED,
        PushAndAck(Push::Taken, Ack::Refused | Ack::Odd) => (ack_only, SendAgain),
        PushAndAck(Push::Taken, Ack::Lost | Ack::NotSent) => (ack_only, NextConnection),

        PushAndAck(Push::Refused, Ack::Taken | Ack::Odd) => {
            refused(known, Remaining::Push, SendAgain)
        }
        PushAndAck(Push::Refused, Ack::Refused) => refused(known, Remaining::PushAndAck, SendAgain),
        // The job may still be reserved: then the push alone would make two of one.
        PushAndAck(Push::Refused, Ack::Lost) if once => (Remaining::InDoubt, NextConnection),
        PushAndAck(Push::Refused, Ack::Lost) => refused(known, Remaining::Push, NextConnection),
        PushAndAck(Push::Refused, Ack::NotSent) => {
            refused(known, Remaining::PushAndAck, NextConnection)
        }

        // The copy may be there: a job that may run twice is pushed once more rather than lost.
        PushAndAck(Push::Unclear | Push::Lost | Push::NotSent, Ack::Taken) if once => SETTLED,
        PushAndAck(Push::Unclear, Ack::Taken) => (Remaining::Push, unclear(known)),
        PushAndAck(Push::Lost | Push::NotSent, Ack::Taken) => (Remaining::Push, NextConnection),
        // The job may still be reserved, and then comes back when its reservation ends.
        PushAndAck(
            Push::Unclear | Push::Lost,
            Ack::Refused | Ack::Odd | Ack::Lost | Ack::NotSent,
        )
        | PushAndAck(Push::NotSent, Ack::Refused | Ack::Odd | Ack::Lost) => {
            (Remaining::InDoubt, NextConnection)
        }
        PushAndAck(Push::NotSent, Ack::NotSent) => (Remaining::PushAndAck, NextConnection),

        Answered::Push(Push::Taken) => SETTLED,
        Answered::Push(Push::Refused) => refused(known, Remaining::Push, SendAgain),
        Answered::Push(Push::Unclear | Push::Lost) if once => SETTLED,
        Answered::Push(Push::Unclear) => (Remaining::Push, unclear(known)),
        Answered::Push(Push::Lost | Push::NotSent) => (Remaining::Push, NextConnection),

        Answered::Ack(Ack::Taken) => SETTLED,
        Answered::Ack(Ack::Refused | Ack::Odd) => (ack_only, SendAgain),
        Answered::Ack(Ack::Lost | Ack::NotSent) => (ack_only, NextConnection),
    }
}

/// What follows from the answer to the one line that gives a job back; `is_again` where the line
/// may have arrived before. Then no push may follow, to whichever server.
pub(super) const fn after_one_line(is_again: bool, answer: EndAnswer) -> (Remaining, Verdict) {
    use EndAnswer::{Lost, NotSent, Odd, Refused, Taken, Unclear, Useless};
    let not_carried_out =
        if is_again { Remaining::OneLine { is_again } } else { Remaining::PushAndAck };
    let in_doubt = Remaining::OneLine { is_again: true };
    match answer {
        // A job that the server does not take back so comes back when its reservation ends.
        Taken | Useless => (Remaining::Nothing, Verdict::Settled),
        Refused => (not_carried_out, Verdict::SendAgain),
        Unclear | Odd => (in_doubt, Verdict::SendAgain),
        Lost => (in_doubt, Verdict::NextConnection),
        NotSent => (not_carried_out, Verdict::NextConnection),
    }
}

/// A push that was refused goes out again, unless it has gone out too often.
const fn refused(known: Known, remaining: Remaining, verdict: Verdict) -> (Remaining, Verdict) {
    if known.is_last_push {
        (Remaining::Nothing, Verdict::PushGivenUp)
    } else {
        (remaining, verdict)
    }
}

/// A push that may have been taken goes out again, unless it has gone out too often: then the next
/// connection carries it.
const fn unclear(known: Known) -> Verdict {
    if known.is_last_push { Verdict::NextConnection } else { Verdict::SendAgain }
}
