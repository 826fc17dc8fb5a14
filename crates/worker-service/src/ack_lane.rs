//! An ack lane: a connection for ACKs and FAILs, and, the first one, for heartbeats. What has ended meanwhile is told in one write, and nothing waits for more. What
//! is not acknowledged is sent again on a new connection, until it is or it may no longer be.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, LinkConfig, Lost, Pending};
use faktory_wire::{Beat, Command, Filter, Mutation, MutationKind, PushResults, Reply, TargetSet, WorkerState};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::backoff::Backoff;
use crate::fetch_lane::SILENCE_MAX;
use crate::outcome::Ending;
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

/// A server that answers with a passing error gets the report again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// Reports in one write at the most.
const TOGETHER: usize = 512;
/// Reports unanswered at the most: a worker's rate by a round trip, and far more.
const WINDOW: u32 = 16_384;

/// A report on its way to being acknowledged.
#[derive(Debug)]
struct Tracked {
    finished: Finished,
    /// When it first went out so that it may have arrived.
    first_sent: Option<Instant>,
    /// The ACK that goes with a push has been taken, and the push has not: only that is sent again.
    push_only: bool,
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
            Ending::Later(push) if self.push_only => vec![push.clone()],
            Ending::Later(push) => vec![push.clone(), ack()],
        }
    }

    /// True while the report is still about our own run, whoever has the job by now.
    fn may_be_sent(&self, now: Instant) -> bool {
        let reserved = self.finished.fetched.reserved_until > now;
        match self.finished.ending {
            Ending::Done => reserved,
            Ending::Failed(_) | Ending::FailedForGood(_) => {
                reserved && self.first_sent.is_none_or(|sent| now.duration_since(sent) < FAIL_AGAIN_FOR)
            }
            // Nobody has the job but we.
            Ending::Later(_) if self.push_only => true,
            // A second push would be a second job.
            Ending::Later(_) => reserved && self.first_sent.is_none(),
        }
    }
}

/// The lane. Ends when every sender of finished jobs is gone and all is acknowledged, or when it is dropped.
pub(crate) struct AckLane {
    shared: Arc<Shared>,
    lane: usize,
    is_connected: bool,
    finished: mpsc::Receiver<Finished>,
    /// By number, in the order in which they finished.
    unacknowledged: BTreeMap<u64, Tracked>,
    last_number: u64,
}

/// Reports that went out together: their numbers and how many lines each has, and the replies to all lines.
type Reported = (Vec<(u64, usize)>, Vec<Result<Reply, Lost>>);
type Reports<'a> = Pin<Box<dyn Future<Output = Reported> + Send + Sync + 'a>>;

/// Why the lane leaves a connection.
enum Left {
    /// It is broken: a new one is needed.
    Broken(String),
    /// All is done.
    Finished,
}

impl AckLane {
    pub(crate) const fn new(shared: Arc<Shared>, lane: usize, finished: mpsc::Receiver<Finished>) -> Self {
        Self { shared, lane, is_connected: false, finished, unacknowledged: BTreeMap::new(), last_number: 0 }
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
        if !self.is_first() {
            let first = self.finished.recv().await;
            self.track(first);
        }
        loop {
            let identity = shared.identity.borrow().clone();
            let Some(opened) = self.meanwhile(Connection::open(link, Some(&identity))).await else { return };
            let why = match opened {
                Ok(connection) => {
                    backoff.reset();
                    told.clear();
                    self.is_connected = true;
                    if self.is_first() {
                        shared.connected.send_replace(true);
                        tracing::info!(work_server = %format_args!("{}:{}", link.host, link.port), wid = %identity.wid, "connected to the work server");
                    }
                    let left = self.serve(&connection, &identity.wid).await;
                    self.is_connected = false;
                    if self.is_first() {
                        shared.connected.send_replace(false);
                    }
                    match left {
                        Left::Finished => return connection.close().await,
                        Left::Broken(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            self.forget_what_is_over();
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

    /// Takes a finished job in.
    fn track(&mut self, finished: Option<Finished>) {
        if let Some(finished) = finished {
            if !self.is_connected && finished.ending == Ending::Done {
                self.shared.unconfirmed.note(std::iter::once(finished.fetched.jid.as_str()));
            }
            self.last_number += 1;
            self.unacknowledged.insert(self.last_number, Tracked { finished, first_sent: None, push_only: false });
        }
    }

    async fn serve(&mut self, connection: &Connection, wid: &str) -> Left {
        let mut reports: FuturesUnordered<Reports<'_>> = FuturesUnordered::new();
        let mut beat: Option<Pending> = None;
        let every = self.shared.config.heartbeat;
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
                    finished.drain(..count).for_each(|finished| self.track(Some(finished)));
                    let numbers: Vec<u64> = (before + 1..=self.last_number).collect();
                    if !numbers.is_empty() {
                        reports.push(self.send(connection, &numbers).await);
                    }
                }
                Some((numbers, replies)) = reports.next() => {
                    let again = self.settle_all(&numbers, replies);
                    // What is unacknowledged may have held up fetches.
                    shared.note(|_, _| ());
                    if !again.is_empty() {
                        reports.push(self.send_later(connection, &again));
                    }
                }
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
                        Ok(reply) => if let Some(why) = self.obey(&reply) {
                            break why;
                        },
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

    /// Sends reports after a pause that holds up nothing else.
    fn send_later<'a>(&mut self, connection: &'a Connection, numbers: &[u64]) -> Reports<'a> {
        let (numbers, lines) = self.lines_of(numbers);
        Box::pin(async move {
            tokio::time::sleep(AGAIN).await;
            (numbers, join_all(connection.submit_together(lines).await).await)
        })
    }

    fn lines_of(&mut self, numbers: &[u64]) -> (Vec<(u64, usize)>, Vec<Vec<u8>>) {
        let now = Instant::now();
        if numbers.iter().filter_map(|number| self.unacknowledged.get(number)).any(|tracked| !tracked.may_be_sent(now)) {
            self.forget_what_is_over();
        }
        let (mut counts, mut all) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
        for number in numbers {
            let Some(tracked) = self.unacknowledged.get_mut(number) else { continue };
            // Until it is known that it did not go out, it did.
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
        let jid = &tracked.finished.fetched.jid;
        if let Some(Err(lost)) = replies.iter().find(|reply| reply.is_err()) {
            // Of a push that went out nobody knows whether it arrived.
            if !lost.sent && replies.iter().all(Result::is_err) {
                tracked.first_sent = None;
            }
            return Settled::Open;
        }
        match (&tracked.finished.ending, replies) {
            (_, []) => return Settled::Open,
            (Ending::Later(_), [Ok(push), rest @ ..]) => {
                if let Err(why) = pushed(push, jid) {
                    tracing::warn!(%jid, answer = %why, "the work server could not take a job back; it is pushed again");
                    // Where the ACK was refused too, the job is still reserved for us.
                    tracked.push_only |= matches!(rest, [Ok(Reply::Simple(_))]);
                    return Settled::Again;
                }
            }
            (_, [Ok(Reply::Error(text)), ..]) => {
                // The job is no longer reserved for us: acknowledged before the connection broke, or its time is over.
                if text.contains("Job not found") || text.contains("invalid ACK") || text.contains("invalid FAIL") {
                    tracing::info!(%jid, answer = %text, "the work server no longer waits for this job's end");
                } else {
                    tracing::warn!(%jid, answer = %text, "the work server could not take a report; it is sent again");
                    return Settled::Again;
                }
            }
            (_, [_, Ok(Reply::Error(text)), ..]) => {
                tracing::warn!(%jid, answer = %text, "the work server could not put a hopeless job into the dead set; it will be tried again");
            }
            _ => {}
        }
        if let Some(tracked) = self.unacknowledged.remove(&number) {
            self.shared.unreported.settled(self.lane, 1);
            self.shared.metrics.ack_lag.record(tracked.finished.ended.elapsed());
            self.shared.unconfirmed.confirmed(&tracked.finished.fetched.jid);
        }
        Settled::Done
    }

    /// Gives up reports that would no longer be about our own run.
    fn forget_what_is_over(&mut self) {
        let now = Instant::now();
        let (shared, before) = (Arc::clone(&self.shared), self.unacknowledged.len());
        self.unacknowledged.retain(|_, tracked| {
            let live = tracked.may_be_sent(now);
            if !live {
                let jid = &tracked.finished.fetched.jid;
                tracing::warn!(%jid, "the end of this job can't be reported any more; where the work server has not heard of it, the job is offered again when its reservation ends");
                if tracked.finished.ending == Ending::Done {
                    shared.unconfirmed.is_over(jid);
                }
            }
            live
        });
        self.shared.unreported.settled(self.lane, before - self.unacknowledged.len());
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

/// Whether a push of this one job was taken.
fn pushed(reply: &Reply, jid: &str) -> Result<(), String> {
    match reply {
        Reply::Bulk(body) => match PushResults::parse(body) {
            Ok(results) => results.refused(jid).map_or(Ok(()), |why| Err(why.to_owned())),
            Err(error) => Err(error.to_string()),
        },
        Reply::Error(text) => Err(text.clone()),
        other => Err(format!("{other:?}")),
    }
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

    #[tokio::test]
    async fn what_would_be_about_another_run_is_not_sent_again() {
        let begun = Instant::now();
        let tracked = |ending, first_sent| Tracked {
            finished: Finished {
                fetched: Fetched { jid: "j".into(), reserved_until: begun + Duration::from_secs(1800) },
                ending,
                ended: begun,
            },
            first_sent,
            push_only: false,
        };
        let failed = || Ending::Failed(Failure::new("k", "m"));
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(tracked(failed(), Some(begun)).may_be_sent(after(9)));
        assert!(!tracked(failed(), Some(begun)).may_be_sent(after(11)));
        assert!(!tracked(Ending::FailedForGood(Failure::new("k", "m")), Some(begun)).may_be_sent(after(11)));
        // Never sent, or an ACK: as long as the reservation lasts.
        assert!(tracked(failed(), None).may_be_sent(after(1799)) && !tracked(failed(), None).may_be_sent(after(1801)));
        assert!(tracked(Ending::Done, Some(begun)).may_be_sent(after(1799)));
        // A push that may have arrived would make two jobs of one; where the server has said that it did not, only the push is left.
        assert!(!tracked(Ending::Later(Vec::new()), Some(begun)).may_be_sent(after(1)));
        assert!(tracked(Ending::Later(Vec::new()), None).may_be_sent(after(1)));
        let push_only = Tracked { push_only: true, ..tracked(Ending::Later(b"PUSHB []".to_vec()), Some(begun)) };
        assert!(push_only.may_be_sent(after(1801)));
        assert_eq!(push_only.lines(), [b"PUSHB []"]);
    }
}
