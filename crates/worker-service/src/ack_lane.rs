//! An ack lane: a connection for ACKs and FAILs, and, the first one, for heartbeats. What has ended meanwhile is told in one write, and nothing waits for more. What
//! is not acknowledged is sent again on a new connection, until it is or it may no longer be.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, LinkConfig, Lost, Pending};
use faktory_wire::{Beat, Command, Filter, Job, Mutation, MutationKind, PushResults, Refusal, Reply, TargetSet, WorkerState};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::backoff::Backoff;
use crate::outcome::{Ending, LATER_AT_LEAST, push_later};
use crate::reports::FirstLane;
use crate::running_jobs::Fetched;
use crate::shared::{Shared, new_wid};

/// What is to be told of a job.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) fetched: Fetched,
    pub(crate) ending: Ending,
    /// When it ended.
    pub(crate) ended: Instant,
}

/// A FAIL that may have arrived is sent again for so long only. A job that failed comes back after 15 s at the earliest
/// (faktory.md 3.5); a FAIL sent after that would end somebody else's run of it. An ACK of such a job finds nothing.
const FAIL_AGAIN_FOR: Duration = Duration::from_secs(10);
/// A connection that answers nothing for so long is dead: sooner than a lane's, so that a FAIL can still be sent again over the next.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A server that answers with a passing error gets the report again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// A push that the server refuses is tried so often.
const PUSHES_MAX: u32 = 120;
/// A heartbeat is not more frequent than this.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// Reports in one write at the most.
const TOGETHER: usize = 512;
/// Reports unanswered at the most: a worker's rate by a round trip, and far more.
const WINDOW: u32 = 16_384;

/// A report on its way to being acknowledged.
#[derive(Debug)]
pub(crate) struct Tracked {
    finished: Finished,
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
    /// The push was taken, the ACK was not. It may be sent until the copy is due: then it could be somebody else's.
    Ack(Instant),
}

impl From<Finished> for Tracked {
    fn from(finished: Finished) -> Self {
        Self { finished, first_sent: None, was_first: false, stage: Stage::Both, pushes: 0 }
    }
}

impl Tracked {
    /// The lines of the report; they go out in one write.
    fn lines(&self) -> Vec<Vec<u8>> {
        let jid = &self.finished.fetched.jid;
        let ack = || Command::Ack(jid.clone()).to_line();
        match &self.finished.ending {
            Ending::Done => vec![ack()],
            Ending::Failed(failure) => vec![Command::Fail(Box::new(failure.clone().report(jid))).to_line()],
            Ending::FailedForGood(failure) => {
                let filter = Filter { jids: Some(vec![jid.clone()]), ..Filter::default() };
                let kill = Mutation { kind: MutationKind::Kill, target: TargetSet::Retries, filter };
                vec![Command::Fail(Box::new(failure.clone().report(jid))).to_line(), Command::Mutate(kill).to_line()]
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
    fn may_be_sent(&self, now: Instant) -> bool {
        let reserved = self.finished.fetched.reserved_until > now;
        match (&self.finished.ending, self.stage) {
            (Ending::Done, _) => reserved,
            (Ending::Failed(_) | Ending::FailedForGood(_), _) => {
                reserved && self.first_sent.is_none_or(|sent| now.duration_since(sent) < FAIL_AGAIN_FOR)
            }
            // A second push would be a second job.
            (Ending::Later(..), Stage::Both) => reserved && self.first_sent.is_none(),
            // Nobody has the job but we.
            (Ending::Later(..), Stage::Push) => true,
            (Ending::Later(..), Stage::Ack(until)) => now < until,
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
                // The job is no longer reserved for us: acknowledged before the connection broke, or its time is over.
                if text.contains("Job not found") || text.contains("invalid ACK") || text.contains("invalid FAIL") {
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
    fn settle_later(&mut self, job: &Job, after: Duration, replies: &[Result<Reply, Lost>]) -> Settled {
        let was_sent = replies.iter().any(|reply| reply.as_ref().map_or_else(|lost| lost.sent, |_| true));
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
                    return if replies.iter().all(Result::is_ok) { Settled::Again } else { Settled::Open };
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
                        if push.is_ok() && self.pushes < PUSHES_MAX { Settled::Again } else { Settled::Open }
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

/// The lane. Ends when every sender of finished jobs is gone and all is acknowledged, or when it is dropped.
pub(crate) struct AckLane {
    shared: Arc<Shared>,
    lane: usize,
    is_connected: bool,
    /// For what a lane can't tell that is not the first.
    first: Option<FirstLane>,
    finished: mpsc::Receiver<Tracked>,
    /// By number, in the order in which they finished.
    unacknowledged: BTreeMap<u64, Tracked>,
    last_number: u64,
}

/// Reports that went out together: their numbers and how many lines each has, and the replies to all lines.
type Reported = (Vec<(u64, usize)>, Vec<Result<Reply, Lost>>);
/// Numbers of reports, after a pause.
type Pause = Pin<Box<dyn Future<Output = Vec<u64>> + Send + Sync>>;
type Reports<'a> = Pin<Box<dyn Future<Output = Reported> + Send + Sync + 'a>>;

/// Why the lane leaves a connection.
enum Left {
    /// It is broken: a new one is needed.
    Broken(String),
    /// All is done.
    Finished,
}

impl AckLane {
    pub(crate) const fn new(shared: Arc<Shared>, lane: usize, finished: mpsc::Receiver<Tracked>, first: Option<FirstLane>) -> Self {
        Self { shared, lane, is_connected: false, first, finished, unacknowledged: BTreeMap::new(), last_number: 0 }
    }

    /// The first lane speaks for the worker; the others are there where it has more to tell than a server takes on one connection.
    const fn is_first(&self) -> bool {
        self.lane == 0
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut told = String::new();
        let shared = Arc::clone(&self.shared);
        let config = &shared.config.link;
        let link = &LinkConfig { read_timeout: config.read_timeout.min(SILENCE_MAX), window_commands: WINDOW, ..config.clone() };
        loop {
            if !self.is_first() && self.unacknowledged.is_empty() {
                let shared = Arc::clone(&shared);
                if self.meanwhile(shared.unreported.wanted(self.lane)).await.is_none() {
                    return;
                }
            }
            let identity = shared.identity.borrow().clone();
            let Some(opened) = self.meanwhile(Connection::open(link, Some(&identity))).await else { return };
            let why = match opened {
                Ok(connection) => {
                    self.is_connected = true;
                    shared.unreported.open(self.lane, true);
                    if self.is_first() {
                        shared.connected.send_replace(true);
                        tracing::info!(work_server = %format_args!("{}:{}", link.host, link.port), wid = %identity.wid, "connected to the work server");
                    }
                    let mut has_answered = false;
                    let left = self.serve(&connection, &identity.wid, &mut has_answered).await;
                    self.is_connected = false;
                    // A server that has no room for more says so after it has greeted.
                    if has_answered {
                        backoff.reset();
                        told.clear();
                    }
                    if self.is_first() {
                        shared.connected.send_replace(false);
                    } else {
                        shared.unreported.open(self.lane, false);
                    }
                    match left {
                        Left::Finished => return connection.close().await,
                        Left::Broken(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            self.forget_what_is_over();
            self.hand_over().await;
            if told != why && self.is_first() {
                // Once for each reason: it is tried for ever, and the log is to be read.
                tracing::warn!(
                    work_server = %format_args!("{}:{}", link.host, link.port), %why, unacknowledged = self.unacknowledged.len(),
                    "no work server (FAKTORY_URL says where it is); trying for ever"
                );
                told = why;
            }
            let pause = tokio::time::sleep(backoff.next());
            if self.meanwhile(pause).await.is_none() {
                return;
            }
        }
    }

    /// Waits for something and takes finished jobs in meanwhile; `None` as soon as nothing is left to be done.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            if self.is_done() {
                return None;
            }
            tokio::select! {
                done = &mut work => return Some(done),
                finished = self.finished.recv(), if self.may_receive() => self.track(finished),
            }
        }
    }

    /// True while finished jobs are there or can still come.
    fn may_receive(&self) -> bool {
        !(self.finished.is_closed() && self.finished.is_empty())
    }

    /// True where nothing is left to report and nothing can come any more.
    fn is_done(&self) -> bool {
        self.unacknowledged.is_empty() && !self.may_receive()
    }

    /// Takes a report in.
    fn track(&mut self, report: Option<Tracked>) {
        if let Some(report) = report {
            if !self.is_connected && report.finished.ending == Ending::Done {
                self.shared.unconfirmed.note(std::iter::once(report.finished.fetched.jid.as_str()));
            }
            self.last_number += 1;
            self.unacknowledged.insert(self.last_number, report);
        }
    }

    /// What a lane that is not the first could not tell goes to the first: this one may get no connection again.
    async fn hand_over(&mut self) {
        if self.is_first() {
            return;
        }
        let Some(first) = self.first.take() else { return };
        while let Some((number, report)) = self.unacknowledged.pop_first() {
            if let Err(report) = first.hand_over(report).await {
                self.unacknowledged.insert(number, report);
                break;
            }
            self.shared.unreported.settled(self.lane, 1);
        }
        self.first = Some(first);
    }

    async fn serve(&mut self, connection: &Connection, wid: &str, has_answered: &mut bool) -> Left {
        // Those that a server with a passing error gets again.
        let mut again: FuturesUnordered<Pause> = FuturesUnordered::new();
        let mut reports: FuturesUnordered<Reports<'_>> = FuturesUnordered::new();
        let mut beat: Option<Pending> = None;
        let every = self.shared.config.heartbeat.max(HEARTBEAT_MIN);
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut finished = Vec::with_capacity(TOGETHER);
        // What an earlier connection left unacknowledged goes first.
        let left_over: Vec<u64> = self.unacknowledged.keys().copied().collect();
        for numbers in left_over.chunks(TOGETHER) {
            reports.push(self.send(connection, numbers).await);
        }
        let shared = Arc::clone(&self.shared);
        let why = loop {
            if reports.is_empty() && self.is_done() {
                return Left::Finished;
            }
            tokio::select! {
                count = self.finished.recv_many(&mut finished, TOGETHER), if self.may_receive() => {
                    let before = self.last_number;
                    finished.drain(..count).for_each(|report| self.track(Some(report)));
                    let numbers: Vec<u64> = (before + 1..=self.last_number).collect();
                    if !numbers.is_empty() {
                        reports.push(self.send(connection, &numbers).await);
                    }
                }
                Some((numbers, replies)) = reports.next() => {
                    *has_answered |= replies.iter().any(Result::is_ok);
                    let refused = self.settle_all(&numbers, replies);
                    // What is unacknowledged may have held up fetches.
                    shared.note(|_, _| ());
                    if !refused.is_empty() {
                        again.push(Box::pin(async move {
                            tokio::time::sleep(AGAIN).await;
                            refused
                        }));
                    }
                }
                Some(numbers) = again.next() => reports.push(self.send(connection, &numbers).await),
                () = shared.suspicion.notified(), if self.is_first() && beat.is_none() => heartbeat.reset_immediately(),
                _ = heartbeat.tick(), if self.is_first() && beat.is_none() => {
                    let line = Command::Beat(Beat { wid: wid.into(), ..Beat::default() }).to_line();
                    match connection.submit(line).await {
                        Ok(pending) => beat = Some(pending),
                        Err(lost) => break lost.to_string(),
                    }
                }
                Some(answer) = answer_of(&mut beat) => {
                    beat = None;
                    match answer {
                        Ok(reply) => {
                            *has_answered = true;
                            if let Some(why) = self.obey(&reply) {
                                break why;
                            }
                        }
                        Err(lost) => break lost.to_string(),
                    }
                }
                cause = connection.until_ended() => break cause.to_string(),
            }
        };
        // Whatever was out has ended with the connection, or ends with it now; what each says is noted.
        if connection.ended().is_some() {
            while let Some((numbers, replies)) = reports.next().await {
                self.settle_all(&numbers, replies);
            }
        }
        shared.note(|_, _| ());
        let done = self.unacknowledged.values().filter(|tracked| tracked.finished.ending == Ending::Done);
        self.shared.unconfirmed.note(done.map(|tracked| tracked.finished.fetched.jid.as_str()));
        Left::Broken(why)
    }

    /// Sends reports, where they may still be sent; the future is of the replies.
    async fn send<'a>(&mut self, connection: &'a Connection, numbers: &[u64]) -> Reports<'a> {
        let (numbers, lines) = self.lines_of(numbers);
        // In order, and held back where the window is full.
        let pending = connection.submit_together(lines).await;
        Box::pin(async move { (numbers, join_all(pending).await) })
    }

    fn lines_of(&mut self, numbers: &[u64]) -> (Vec<(u64, usize)>, Vec<Vec<u8>>) {
        let now = Instant::now();
        let (mut counts, mut all) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
        for number in numbers {
            let Some(tracked) = self.unacknowledged.get_mut(number) else { continue };
            if !tracked.may_be_sent(now) {
                self.forget(*number);
                continue;
            }
            // Until it is known that it did not go out, it did.
            tracked.was_first = tracked.first_sent.is_none();
            tracked.first_sent.get_or_insert(now);
            let lines = tracked.lines();
            counts.push((*number, lines.len()));
            all.extend(lines);
        }
        (counts, all)
    }

    /// Notes the answers to reports; returns those that are to be sent again.
    fn settle_all(&mut self, numbers: &[(u64, usize)], replies: Vec<Result<Reply, Lost>>) -> Vec<u64> {
        let mut replies = replies.into_iter();
        let mut again = Vec::new();
        for (number, lines) in numbers {
            let of_this: Vec<_> = replies.by_ref().take(*lines).collect();
            if self.settle(*number, &of_this) == Settled::Again {
                again.push(*number);
            }
        }
        again
    }

    /// Notes the answer to a report.
    fn settle(&mut self, number: u64, replies: &[Result<Reply, Lost>]) -> Settled {
        let Some(tracked) = self.unacknowledged.get_mut(&number) else { return Settled::Done };
        let settled = if let Ending::Later(job, after) = &tracked.finished.ending {
            let (job, after) = (job.clone(), *after);
            tracked.settle_later(&job, after, replies)
        } else {
            tracked.settle_end(replies)
        };
        if settled == Settled::Done
            && let Some(tracked) = self.unacknowledged.remove(&number)
        {
            self.shared.unreported.settled(self.lane, 1);
            self.shared.metrics.ack_lag.record(tracked.finished.ended.elapsed());
            self.shared.unconfirmed.confirmed(&tracked.finished.fetched.jid);
        }
        settled
    }

    /// Gives up reports that would no longer be about our own run.
    fn forget_what_is_over(&mut self) {
        let now = Instant::now();
        let over = self.unacknowledged.iter().filter(|(_, tracked)| !tracked.may_be_sent(now));
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        for number in over {
            self.forget(number);
        }
        self.shared.note(|_, _| ());
    }

    fn forget(&mut self, number: u64) {
        if let Some(tracked) = self.unacknowledged.remove(&number) {
            let jid = &tracked.finished.fetched.jid;
            tracing::warn!(%jid, "the end of this job can't be reported any more; where the work server has not heard of it, the job is offered again when its reservation ends");
            if tracked.finished.ending == Ending::Done {
                self.shared.unconfirmed.is_over(jid);
            }
            self.shared.unreported.settled(self.lane, 1);
        }
    }

    /// Does what the answer to a heartbeat says; a text where the connection is of no more use.
    fn obey(&self, reply: &Reply) -> Option<String> {
        match reply {
            Reply::Bulk(body) => self.shared.advance_state(WorkerState::from_answer_body(body)),
            Reply::Error(text) if text.contains("unknown worker") => {
                self.shared.identity.send_modify(|identity| identity.wid = new_wid());
                return Some("the work server has forgotten this worker; it comes back under a new id".into());
            }
            Reply::Error(text) => tracing::warn!(answer = %text, "heartbeat refused"),
            Reply::Simple(_) | Reply::Nothing => {}
        }
        None
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    /// It is acknowledged, or of no more use.
    Done,
    /// The server wants it again, a little later.
    Again,
    /// The connection has ended: the next one carries it.
    Open,
}

/// The answer to a heartbeat; none where none is out.
async fn answer_of(beat: &mut Option<Pending>) -> Option<<Pending as Future>::Output> {
    match beat {
        Some(pending) => Some(pending.await),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    fn tracked(ending: Ending, first_sent: Option<Instant>, begun: Instant) -> Tracked {
        let fetched = Fetched { jid: "job-00000001".into(), reserved_until: begun + Duration::from_secs(1800) };
        Tracked { first_sent, was_first: true, ..Tracked::from(Finished { fetched, ending, ended: begun }) }
    }

    #[tokio::test]
    async fn what_would_be_about_another_run_is_not_sent_again() {
        let begun = Instant::now();
        let failed = || Ending::Failed(Failure::new("k", "m"));
        let later = || Ending::Later(Box::default(), Duration::ZERO);
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(tracked(failed(), Some(begun), begun).may_be_sent(after(9)));
        assert!(!tracked(failed(), Some(begun), begun).may_be_sent(after(11)));
        assert!(!tracked(Ending::FailedForGood(Failure::new("k", "m")), Some(begun), begun).may_be_sent(after(11)));
        // Never sent, or an ACK: as long as the reservation lasts.
        assert!(tracked(failed(), None, begun).may_be_sent(after(1799)) && !tracked(failed(), None, begun).may_be_sent(after(1801)));
        assert!(tracked(Ending::Done, Some(begun), begun).may_be_sent(after(1799)));
        // A push that may have arrived would make two jobs of one; where the server has said that it did not, only the push is left.
        assert!(!tracked(later(), Some(begun), begun).may_be_sent(after(1)));
        assert!(tracked(later(), None, begun).may_be_sent(after(1)));
        let push_only = Tracked { stage: Stage::Push, ..tracked(later(), Some(begun), begun) };
        assert!(push_only.may_be_sent(after(1801)));
        assert_eq!(push_only.lines().len(), 1);
        let ack_only = Tracked { stage: Stage::Ack(after(2)), ..tracked(later(), Some(begun), begun) };
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
            let mut report = tracked(Ending::Later(Box::new(job.clone()), Duration::ZERO), Some(begun), begun);
            let what = format!("{retry} {push:?} {ack:?}");
            assert_eq!(report.settle_later(&job, Duration::ZERO, &[push, ack]), settled, "{what}");
            match stage {
                Some(stage) => assert_eq!(report.stage, stage, "{what}"),
                None => assert!(matches!(report.stage, Stage::Ack(_)), "{what}"),
            }
            assert_eq!(report.may_be_sent(begun + Duration::from_millis(600)), may_be_sent, "{what}");
        }
    }
}
