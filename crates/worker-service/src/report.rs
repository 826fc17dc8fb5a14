//! One report: what a work server is told of a job, and what its answer means. No I/O.

use std::time::Duration;

use faktory_link::Lost;
use faktory_wire::{
    Command, Filter, Job, Mutation, MutationKind, PushResults, Refusal, Reply, TargetSet,
};
use tokio::time::Instant;

use crate::outcome::{Ending, LATER_AT_LEAST, push_later};
use crate::running_jobs::Fetched;

/// What is to be told of a job.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) fetched: Fetched,
    pub(crate) ending: Ending,
    /// When it ended.
    pub(crate) ended: Instant,
}

/// A FAIL that may have arrived is sent again for so long only. A job that failed comes back after
/// 15 s at the earliest (faktory.md 3.5); a FAIL sent after that would end somebody else's run of
/// it. An ACK of such a job finds nothing.
const FAIL_AGAIN_FOR: Duration = Duration::from_secs(10);

/// A server that answers with a passing error gets the report again after this.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);
/// A push that the server refuses is tried so often.
const PUSHES_MAX: u32 = 120;

/// A report on its way to being acknowledged.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) finished: Finished,
    /// When it first went out so that it may have arrived.
    first_sent: Option<Instant>,
    /// The last time that it went out was the first such.
    was_first: bool,
    /// Of a push and its ACK, what is still to be told.
    stage: Stage,
    pushes: u32,
}

/// What is still to be told of a job that is pushed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Both,
    /// The ACK was taken, the push was not.
    Push,
    /// The push was taken, the ACK was not. It may be sent until the copy is due: then it could be
    /// somebody else's.
    Ack(Instant),
}

impl From<Finished> for Tracked {
    fn from(finished: Finished) -> Self {
        Self { finished, first_sent: None, was_first: false, stage: Stage::Both, pushes: 0 }
    }
}

impl Tracked {
    /// The lines of the report; they go out in one write.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        let jid = &self.finished.fetched.jid;
        let ack = || Command::Ack(jid.clone()).to_line();
        match &self.finished.ending {
            Ending::Done => vec![ack()],
            Ending::Failed(failure) => {
                vec![Command::Fail(Box::new(failure.clone().report(jid))).to_line()]
            }
            Ending::FailedForGood(failure) => {
                let filter = Filter { jids: Some(vec![jid.clone()]), ..Filter::default() };
                let kill =
                    Mutation { kind: MutationKind::Kill, target: TargetSet::Retries, filter };
                vec![
                    Command::Fail(Box::new(failure.clone().report(jid))).to_line(),
                    Command::Mutate(kill).to_line(),
                ]
            }
            Ending::Later(job, after) => match self.stage {
                // Due from now on, not from when it ended: that may be long ago.
                Stage::Both => vec![push_later(job, *after), ack()],
                Stage::Push => vec![push_later(job, *after)],
                Stage::Ack(_) => vec![ack()],
            },
        }
    }

    /// True while the report is still about our own run, whoever has the job by now.
    pub(crate) fn may_be_sent(&self, now: Instant) -> bool {
        let reserved = self.finished.fetched.reserved_until > now;
        match (&self.finished.ending, self.stage) {
            (Ending::Done, _) => reserved,
            (Ending::Failed(_) | Ending::FailedForGood(_), _) => {
                reserved
                    && self.first_sent.is_none_or(|sent| now.duration_since(sent) < FAIL_AGAIN_FOR)
            }
            // A second push would be a second job.
            (Ending::Later(..), Stage::Both) => reserved && self.first_sent.is_none(),
            // Nobody has the job but we.
            (Ending::Later(..), Stage::Push) => true,
            (Ending::Later(..), Stage::Ack(until)) => now < until,
        }
    }

    /// It goes out now: until it is known that it did not, it did.
    pub(crate) fn goes_out(&mut self, now: Instant) {
        self.was_first = self.first_sent.is_none();
        self.first_sent.get_or_insert(now);
    }

    /// Notes the answers to its lines.
    pub(crate) fn settle(&mut self, replies: &[Result<Reply, Lost>]) -> Settled {
        if let Ending::Later(job, after) = &self.finished.ending {
            let (job, after) = (job.clone(), *after);
            self.settle_later(&job, after, replies)
        } else {
            self.settle_end(replies)
        }
    }

    /// Notes the answers to an ACK, or to a FAIL and perhaps a MUTATE.
    fn settle_end(&mut self, replies: &[Result<Reply, Lost>]) -> Settled {
        let jid = &self.finished.fetched.jid;
        if let Some(Err(lost)) = replies.iter().find(|reply| reply.is_err()) {
            if !lost.sent && self.was_first && replies.iter().all(Result::is_err) {
                self.first_sent = None;
            }
            return Settled::Open;
        }
        match replies {
            [] => return Settled::Open,
            [Ok(Reply::Error(text)), ..] => {
                // The job is no longer reserved for us: acknowledged before the connection broke,
                // or its time is over.
                if text.contains("Job not found")
                    || text.contains("invalid ACK")
                    || text.contains("invalid FAIL")
                {
                    tracing::info!(%jid, answer = %text, "the work server no longer waits for this job's end");
                } else {
                    tracing::warn!(%jid, answer = %text, "the work server could not take a report; it is sent again");
                    if Refusal::of(text) != Refusal::Unknown {
                        self.first_sent = None;
                    }
                    return Settled::Again;
                }
            }
            [_, Ok(Reply::Error(text)), ..] => {
                tracing::warn!(%jid, answer = %text, "the work server could not put a hopeless job into the dead set; it will be tried again");
            }
            _ => {}
        }
        Settled::Done
    }

    /// Notes the answers to the push of a job and its ACK.
    fn settle_later(
        &mut self,
        job: &Job,
        after: Duration,
        replies: &[Result<Reply, Lost>],
    ) -> Settled {
        let was_sent =
            replies.iter().any(|reply| reply.as_ref().map_or_else(|lost| lost.sent, |_| true));
        if !was_sent {
            if self.was_first {
                self.first_sent = None;
            }
            return Settled::Open;
        }
        let (push, ack) = match (self.stage, replies) {
            (Stage::Both, [push, ack]) => (Some(push), Some(ack)),
            (Stage::Push, [push]) => (Some(push), None),
            (Stage::Ack(_), [ack]) => (None, Some(ack)),
            _ => return Settled::Open,
        };
        let acked = ack.map(|ack| matches!(ack, Ok(Reply::Simple(_))));
        let Some(push) = push else {
            return match ack {
                Some(Ok(Reply::Simple(_))) => Settled::Done,
                Some(Ok(_)) => Settled::Again,
                _ => Settled::Open,
            };
        };
        // What may be there twice must not be, where it may be run only once.
        let only_once = job.retry == Some(0);
        match pushed(push, &job.jid) {
            Pushed::Taken if acked == Some(false) => {
                self.stage = Stage::Ack(Instant::now() + after.max(LATER_AT_LEAST) - AGAIN);
                if ack.is_some_and(Result::is_ok) { Settled::Again } else { Settled::Open }
            }
            Pushed::Taken => Settled::Done,
            Pushed::Refused(why) => {
                self.pushes += 1;
                tracing::warn!(jid = %job.jid, answer = %why, "the work server could not take a job back");
                match ack {
                    // Neither was carried out, so both may be sent again.
                    Some(Ok(Reply::Error(_))) => self.first_sent = None,
                    // Whether the job is still reserved nobody knows.
                    Some(Err(_)) if only_once => return Settled::Open,
                    _ => self.stage = Stage::Push,
                }
                if self.pushes < PUSHES_MAX {
                    return if replies.iter().all(Result::is_ok) {
                        Settled::Again
                    } else {
                        Settled::Open
                    };
                }
                let job = String::from_utf8_lossy(&push_later(job, after)).trim_end().to_owned();
                tracing::error!(%job, "a job could not be given back to the work server, which does not have it any more");
                Settled::Done
            }
            // It may be there.
            Pushed::Unknown(why) => {
                tracing::warn!(jid = %job.jid, answer = %why, "nobody knows whether the work server has taken a job back");
                match acked {
                    Some(true) | None if !only_once => {
                        self.stage = Stage::Push;
                        self.pushes += 1;
                        if push.is_ok() && self.pushes < PUSHES_MAX {
                            Settled::Again
                        } else {
                            Settled::Open
                        }
                    }
                    Some(true) | None => Settled::Done,
                    // Still reserved, as far as we know: it comes back by itself.
                    Some(false) => Settled::Open,
                }
            }
        }
    }
}

/// What became of a push of one job.
enum Pushed {
    Taken,
    Refused(String),
    Unknown(String),
}

fn pushed(reply: &Result<Reply, Lost>, jid: &str) -> Pushed {
    let text = match reply {
        Ok(Reply::Bulk(body)) => match PushResults::parse(body) {
            Ok(results) => match results.refused(jid) {
                None => return Pushed::Taken,
                Some(why) => why.to_owned(),
            },
            Err(error) => return Pushed::Unknown(error.to_string()),
        },
        Ok(Reply::Error(text)) => text.clone(),
        Ok(other) => return Pushed::Unknown(format!("{other:?}")),
        Err(lost) => return Pushed::Unknown(lost.to_string()),
    };
    match Refusal::of(&text) {
        Refusal::Unknown => Pushed::Unknown(text),
        Refusal::Job | Refusal::WholePush | Refusal::Server => Pushed::Refused(text),
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It is acknowledged, or of no more use.
    Done,
    /// The server wants it again, a little later.
    Again,
    /// The connection has ended: the next one carries it.
    Open,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::outcome::Failure;

    fn tracked(ending: Ending, first_sent: Option<Instant>, begun: Instant) -> Tracked {
        let fetched = Fetched {
            jid: "job-00000001".into(),
            reserved_until: begun + Duration::from_secs(1800),
        };
        Tracked {
            first_sent,
            was_first: true,
            ..Tracked::from(Finished { fetched, ending, ended: begun })
        }
    }

    #[tokio::test]
    async fn what_would_be_about_another_run_is_not_sent_again() {
        let begun = Instant::now();
        let failed = || Ending::Failed(Failure::new("k", "m"));
        let later = || Ending::Later(Box::default(), Duration::ZERO);
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(tracked(failed(), Some(begun), begun).may_be_sent(after(9)));
        assert!(!tracked(failed(), Some(begun), begun).may_be_sent(after(11)));
        assert!(
            !tracked(Ending::FailedForGood(Failure::new("k", "m")), Some(begun), begun)
                .may_be_sent(after(11))
        );
        // Never sent, or an ACK: as long as the reservation lasts.
        assert!(
            tracked(failed(), None, begun).may_be_sent(after(1799))
                && !tracked(failed(), None, begun).may_be_sent(after(1801))
        );
        assert!(tracked(Ending::Done, Some(begun), begun).may_be_sent(after(1799)));
        // A push that may have arrived would make two jobs of one; where the server has said that
        // it did not, only the push is left.
        assert!(!tracked(later(), Some(begun), begun).may_be_sent(after(1)));
        assert!(tracked(later(), None, begun).may_be_sent(after(1)));
        let push_only = Tracked { stage: Stage::Push, ..tracked(later(), Some(begun), begun) };
        assert!(push_only.may_be_sent(after(1801)));
        assert_eq!(push_only.lines().len(), 1);
        let ack_only =
            Tracked { stage: Stage::Ack(after(2)), ..tracked(later(), Some(begun), begun) };
        assert!(ack_only.may_be_sent(after(1)) && !ack_only.may_be_sent(after(2)));
    }

    #[tokio::test]
    async fn a_job_that_the_server_did_not_take_back_is_never_dropped() {
        let begun = Instant::now();
        let taken = || Ok(Reply::Bulk("{}".into()));
        let ok = || Ok(Reply::Simple("OK".into()));
        let refused = || Ok(Reply::Error("MISCONF no disk".into()));
        let unknown = || Ok(Reply::Error("context deadline exceeded".into()));
        let lost = |sent| Err(Lost { sent, cause: Arc::new(faktory_link::LinkError::ClosedHere) });
        let both = Stage::Both;
        for (retry, push, ack, settled, stage, may_be_sent) in [
            (3, taken(), ok(), Settled::Done, Some(both), false),
            (3, refused(), refused(), Settled::Again, Some(both), true),
            (3, refused(), ok(), Settled::Again, Some(Stage::Push), true),
            (3, refused(), lost(true), Settled::Open, Some(Stage::Push), true),
            (0, refused(), lost(true), Settled::Open, Some(both), false),
            (3, unknown(), ok(), Settled::Again, Some(Stage::Push), true),
            (0, unknown(), ok(), Settled::Done, Some(both), false),
            (3, unknown(), refused(), Settled::Open, Some(both), false),
            (3, taken(), lost(true), Settled::Open, None, true),
            (3, taken(), refused(), Settled::Again, None, true),
            (3, lost(true), lost(true), Settled::Open, Some(both), false),
            (3, lost(false), lost(false), Settled::Open, Some(both), true),
        ] {
            let job = Job { jid: "job-00000001".into(), retry: Some(retry), ..Job::default() };
            let mut report =
                tracked(Ending::Later(Box::new(job.clone()), Duration::ZERO), Some(begun), begun);
            let what = format!("{retry} {push:?} {ack:?}");
            assert_eq!(report.settle_later(&job, Duration::ZERO, &[push, ack]), settled, "{what}");
            match stage {
                Some(stage) => assert_eq!(report.stage, stage, "{what}"),
                None => assert!(matches!(report.stage, Stage::Ack(_)), "{what}"),
            }
            assert_eq!(
                report.may_be_sent(begun + Duration::from_millis(600)),
                may_be_sent,
                "{what}"
            );
        }
    }
}
