//! A report until it is settled: its lines, whether they may still be sent, and what their answers
//! change. Time comes in as an argument, but for the due time of a requeued job. What
//! follows from an answer is decided in `transition.rs`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use faktory_link::Lost;
use faktory_wire::{
    Abilities, Command, Excerpt, Filter, Job, Mutation, MutationKind, Reply, Requeue, TargetSet,
    Timestamp,
};
use tokio::time::Instant;

use super::answers::{AckAnswer, EndAnswer, KillAnswer, PushAnswer};
use super::ending::{Ending, Finished, Reservation};
use super::transition::{
    Answered, Known, Remaining, SEND_AGAIN_AFTER, Sent, Verdict, after_end, after_one_line,
    after_requeue,
};
use crate::outcome::Failure;

/// A FAIL that may have arrived is sent again for this long only. Faktory offers a failed job again
/// after 15 s at the earliest; a FAIL sent after that would end another worker's run of the job. A
/// late ACK of such a job finds nothing.
const FAIL_AGAIN_FOR: Duration = Duration::from_secs(10);

/// The number of times that a push goes out where the work server refuses it.
const PUSHES_MAX: u32 = 120;

/// The shortest delay of a requeued job: until then the ACK of the original has arrived, so no two
/// workers have the job.
const DUE_IN_AT_LEAST: Duration = Duration::from_secs(3);
/// The longest delay of a requeued job, a century: RFC 3339 ends with the year 9999.
const DUE_IN_AT_MOST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A report that the work server has not acknowledged.
#[derive(Debug)]
pub(crate) struct PendingReport {
    reservation: Reservation,
    /// When the job ended.
    ended: Instant,
    report: Report,
}

/// What is to be told of the job, and what has become of it so far.
#[derive(Debug)]
enum Report {
    Done,
    Failed {
        failure: Failure,
        is_for_good: bool,
        sent: Sent,
    },
    /// Without `after`, the job may run at once.
    Requeue {
        job: Box<Job>,
        after: Option<Duration>,
        remaining: Remaining,
        pushes: u32,
    },
}

impl From<Finished> for PendingReport {
    fn from(finished: Finished) -> Self {
        let failed =
            |failure, is_for_good| Report::Failed { failure, is_for_good, sent: Sent::default() };
        let requeue = |job, after| Report::Requeue {
            job,
            after,
            remaining: Remaining::PushAndAck,
            pushes: 0,
        };
        let report = match finished.ending {
            Ending::Done => Report::Done,
            Ending::Failed(failure) => failed(failure, false),
            Ending::FailedForGood(failure) => failed(failure, true),
            Ending::Snooze(job, after) => requeue(job, Some(after)),
            Ending::Requeued(job) => requeue(job, None),
        };
        Self { reservation: finished.reservation, ended: finished.at, report }
    }
}

impl PendingReport {
    pub(crate) fn jid(&self) -> &str {
        &self.reservation.jid
    }

    /// True where the report is that the job is done.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.report, Report::Done)
    }

    /// The job and the number of its reservation, where the report is that the job is done and the
    /// work server has told the number.
    pub(crate) fn done(&self) -> Option<(&str, u64)> {
        let number = self.reservation.number.filter(|_| self.is_done())?;
        Some((&self.reservation.jid, number))
    }

    /// How long ago the job ended.
    pub(crate) fn lag(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.ended)
    }

    /// Appends the lines of the report, which are to go out in one write; returns how many.
    pub(crate) fn append_lines(&self, lines: &mut Vec<Vec<u8>>) -> usize {
        let before = lines.len();
        let jid = &self.reservation.jid;
        let ack = || Command::Ack(jid.clone()).to_line();
        match &self.report {
            Report::Done => lines.push(ack()),
            Report::Failed { failure, is_for_good, .. } => {
                let fail = failure.clone().report(jid);
                lines.push(Command::Fail(Box::new(fail)).to_line());
                if *is_for_good {
                    lines.push(kill(jid));
                }
            }
            Report::Requeue { job, after, remaining, .. } => match remaining {
                Remaining::PushAndAck | Remaining::InDoubt => {
                    lines.extend([push(job, *after), ack()])
                }
                Remaining::OneLine { .. } => lines.extend(self.requeue_line()),
                Remaining::Push => lines.push(push(job, *after)),
                Remaining::Ack { .. } => lines.push(ack()),
                Remaining::Nothing => {}
            },
        }
        lines.len() - before
    }

    /// The one line that gives the job back, where the work server has told the number of the
    /// reservation. The delay begins now, as that of a copy does.
    fn requeue_line(&self) -> Option<Vec<u8>> {
        let Report::Requeue { after, .. } = &self.report else { return None };
        let at = after.map(|after| Timestamp::now().plus(due_in(after)));
        let (jid, reservation) = (self.reservation.jid.clone(), self.reservation.number?);
        Some(Command::Requeue(Requeue { jid, reservation, at }).to_line())
    }

    /// True where the report may go out over a connection to a server that can do this.
    pub(crate) fn may_be_sent_to(&self, server: Abilities, now: Instant) -> bool {
        // A push would make two jobs of one where the line has arrived that was sent before.
        let is_line_of_ours =
            matches!(self.report, Report::Requeue { remaining: Remaining::OneLine { .. }, .. });
        self.may_be_sent(now) && (server.requeue || !is_line_of_ours)
    }

    /// True while the report is still about this worker's own run, whichever worker has the job by
    /// now.
    pub(crate) fn may_be_sent(&self, now: Instant) -> bool {
        let is_reserved = self.reservation.until > now;
        match &self.report {
            Report::Done => is_reserved,
            Report::Failed { sent, .. } => {
                is_reserved
                    && sent.first.is_none_or(|sent| now.duration_since(sent) < FAIL_AGAIN_FOR)
            }
            Report::Requeue { remaining, .. } => match remaining {
                Remaining::PushAndAck | Remaining::OneLine { .. } => is_reserved,
                Remaining::InDoubt | Remaining::Nothing => false,
                // The job is not in the work server any more, as far as this worker knows.
                Remaining::Push => true,
                Remaining::Ack { until } => now < *until,
            },
        }
    }

    /// Notes that the report goes out now, to a server that can do this: it has arrived, until it
    /// is known that it has not.
    pub(crate) fn goes_out(&mut self, server: Abilities, now: Instant) {
        let takes_one_line = server.requeue && self.reservation.number.is_some();
        match &mut self.report {
            Report::Done => {}
            Report::Failed { sent, .. } => *sent = sent.goes_out(now),
            Report::Requeue { remaining, .. } => match remaining {
                Remaining::PushAndAck if takes_one_line => {
                    *remaining = Remaining::OneLine { is_again: false };
                }
                Remaining::PushAndAck => *remaining = Remaining::InDoubt,
                Remaining::OneLine { is_again } => *is_again = true,
                Remaining::InDoubt
                | Remaining::Push
                | Remaining::Ack { .. }
                | Remaining::Nothing => {}
            },
        }
    }

    /// Notes the answers to the lines of the report.
    pub(crate) fn settle(&mut self, answers: &[Result<Reply, Lost>], now: Instant) -> Verdict {
        let jid = &self.reservation.jid;
        match &mut self.report {
            Report::Done => settle_end(jid, &mut Sent::default(), answers),
            Report::Failed { sent, .. } => settle_end(jid, sent, answers),
            Report::Requeue { remaining, .. }
                if let Remaining::OneLine { is_again } = *remaining =>
            {
                let [answer] = answers else { return Verdict::NextConnection };
                let (next, verdict) = after_one_line(is_again, EndAnswer::of(answer));
                *remaining = next;
                log_end(jid, verdict, answer, None);
                verdict
            }
            Report::Requeue { job, after, remaining, pushes } => {
                let Some((answered, push_text)) = answered(job, *remaining, answers) else {
                    return Verdict::NextConnection;
                };
                log_push(job, answered, &push_text);
                *pushes += u32::from(was_push_in_vain(answered));
                let ack_until = match *remaining {
                    Remaining::Ack { until } => until,
                    Remaining::PushAndAck
                    | Remaining::OneLine { .. }
                    | Remaining::InDoubt
                    | Remaining::Push
                    | Remaining::Nothing => now + copy_due_in(*after) - SEND_AGAIN_AFTER,
                };
                let known = Known {
                    is_only_once: job.retry == Some(0),
                    is_last_push: *pushes >= PUSHES_MAX,
                    ack_until,
                };
                let (next, verdict) = after_requeue(answered, known);
                *remaining = next;
                if verdict == Verdict::PushGivenUp {
                    log_push_given_up(job, *after);
                }
                verdict
            }
        }
    }
}

/// The line that moves a job that has just failed from the retries to the dead set.
fn kill(jid: &str) -> Vec<u8> {
    let filter = Filter { jids: Some(vec![jid.to_owned()]), ..Filter::default() };
    let kill = Mutation { kind: MutationKind::Kill, target: TargetSet::Retries, filter };
    Command::Mutate(kill).to_line()
}

/// The push of a copy of a job. The delay begins now, not when the job ended, which may be long
/// ago.
fn push(job: &Job, after: Option<Duration>) -> Vec<u8> {
    let at = Timestamp::now().plus(copy_due_in(after));
    Command::PushBulk(vec![Job { at: Some(at.to_string()), enqueued_at: None, ..job.clone() }])
        .to_line()
}

/// The delay of a copy, which is never due before the ACK of the original has arrived.
fn copy_due_in(after: Option<Duration>) -> Duration {
    due_in(after.unwrap_or_default())
}

fn due_in(after: Duration) -> Duration {
    after.clamp(DUE_IN_AT_LEAST, DUE_IN_AT_MOST)
}

/// Notes the answers to an ACK, or to a FAIL and perhaps a MUTATE.
fn settle_end(jid: &str, sent: &mut Sent, answers: &[Result<Reply, Lost>]) -> Verdict {
    let Some((end, rest)) = answers.split_first() else { return Verdict::NextConnection };
    let (next, verdict) = after_end(*sent, EndAnswer::of(end), KillAnswer::of(rest.first()));
    *sent = next;
    log_end(jid, verdict, end, rest.first());
    verdict
}

fn log_end(
    jid: &str,
    verdict: Verdict,
    end: &Result<Reply, Lost>,
    kill: Option<&Result<Reply, Lost>>,
) {
    match verdict {
        Verdict::SendAgain => {
            if let Ok(Reply::Error(text)) = end {
                tracing::warn!(
                    jid = %Excerpt(jid), answer = %Excerpt(text),
                    "the work server could not take a report; the report is sent again"
                );
            }
        }
        Verdict::Settled => {
            if let Ok(Reply::Error(text)) = end {
                tracing::info!(
                    jid = %Excerpt(jid), answer = %Excerpt(text),
                    "the work server no longer waits for the end of this job"
                );
            } else if let Some(Ok(Reply::Error(text))) = kill {
                tracing::warn!(
                    jid = %Excerpt(jid), answer = %Excerpt(text),
                    "the work server could not put a job that failed for good into the dead set; \
                     the job will be tried again"
                );
            }
        }
        Verdict::NextConnection | Verdict::PushGivenUp => {}
    }
}

/// The lines that were sent, with their answers, and the text of the answer to the push. None where
/// the answers are not of these lines.
fn answered(
    job: &Job,
    remaining: Remaining,
    answers: &[Result<Reply, Lost>],
) -> Option<(Answered, String)> {
    match (remaining, answers) {
        (Remaining::PushAndAck | Remaining::InDoubt, [push, ack]) => {
            let (push, text) = PushAnswer::of(push, &job.jid);
            Some((Answered::PushAndAck(push, AckAnswer::of(ack)), text))
        }
        (Remaining::Push, [push]) => {
            let (push, text) = PushAnswer::of(push, &job.jid);
            Some((Answered::Push(push), text))
        }
        (Remaining::Ack { .. }, [ack]) => Some((Answered::Ack(AckAnswer::of(ack)), String::new())),
        (
            Remaining::PushAndAck
            | Remaining::InDoubt
            | Remaining::Push
            | Remaining::OneLine { .. }
            | Remaining::Ack { .. }
            | Remaining::Nothing,
            _,
        ) => None,
    }
}

/// True where a push was sent and the work server is not known to have the copy.
const fn was_push_in_vain(answered: Answered) -> bool {
    match answered {
        Answered::PushAndAck(push, _) | Answered::Push(push) => match push {
            PushAnswer::Refused | PushAnswer::Unclear | PushAnswer::Lost => true,
            PushAnswer::Taken | PushAnswer::NotSent => false,
        },
        Answered::Ack(_) => false,
    }
}

fn log_push(job: &Job, answered: Answered, text: &str) {
    let jid = &job.jid;
    match answered {
        Answered::PushAndAck(push, _) | Answered::Push(push) => match push {
            PushAnswer::Refused => {
                tracing::warn!(
                    jid = %Excerpt(jid), answer = %Excerpt(text),
                    "the work server did not take the push of a job that is requeued"
                );
            }
            PushAnswer::Unclear | PushAnswer::Lost => {
                tracing::warn!(
                    jid = %Excerpt(jid), answer = %Excerpt(text),
                    "it is unknown whether the work server has taken the push of a job that is \
                     requeued"
                );
            }
            PushAnswer::Taken | PushAnswer::NotSent => {}
        },
        Answered::Ack(_) => {}
    }
}

/// The one place where a job's args come into the log: the worker has the only copy of the job.
fn log_push_given_up(job: &Job, after: Option<Duration>) {
    let line = push(job, after);
    let job = String::from_utf8_lossy(&line);
    tracing::error!(
        job = %job.trim_end(),
        "a job could not be requeued, and the work server does not have the job any more"
    );
}
