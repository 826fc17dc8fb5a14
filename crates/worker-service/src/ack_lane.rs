//! The ack lane: one connection for ACKs, FAILs and heartbeats. What is not acknowledged is sent again on a new
//! connection, until it is or it may no longer be.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use faktory_link::{Connection, Lost, Pending};
use faktory_wire::{Beat, Command, Filter, Mutation, MutationKind, Reply, TargetSet, WorkerState};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::backoff::Backoff;
use crate::outcome::Outcome;
use crate::running_jobs::Fetched;
use crate::shared::{Shared, new_wid};

/// A job whose run has ended.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) fetched: Fetched,
    pub(crate) outcome: Outcome,
}

/// A FAIL that may have arrived is sent again for so long only. A job that failed comes back after 15 s at the earliest
/// (faktory.md 3.5); a FAIL sent after that would end somebody else's run of it. An ACK of such a job finds nothing.
const FAIL_AGAIN_FOR: Duration = Duration::from_secs(10);

/// A server that answers with a passing error gets the report again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// A report on its way to being acknowledged.
#[derive(Debug)]
struct Tracked {
    finished: Finished,
    /// When it first went out so that it may have arrived.
    first_sent: Option<Instant>,
}

impl Tracked {
    /// The lines of the report; they go out in one write.
    fn lines(&self) -> Vec<Vec<u8>> {
        let jid = &self.finished.fetched.jid;
        match &self.finished.outcome {
            Outcome::Done => vec![Command::Ack(jid.clone()).to_line()],
            Outcome::Failed(failure) => vec![Command::Fail(Box::new(failure.clone().report(jid))).to_line()],
            Outcome::FailedForGood(failure) => {
                let filter = Filter { jids: Some(vec![jid.clone()]), ..Filter::default() };
                let kill = Mutation { kind: MutationKind::Kill, target: TargetSet::Retries, filter };
                vec![Command::Fail(Box::new(failure.clone().report(jid))).to_line(), Command::Mutate(kill).to_line()]
            }
        }
    }

    /// True while the report is still about our own run, whoever has the job by now.
    fn may_be_sent(&self, now: Instant) -> bool {
        let reserved = self.finished.fetched.reserved_until > now;
        match self.finished.outcome {
            Outcome::Done => reserved,
            Outcome::Failed(_) | Outcome::FailedForGood(_) => {
                reserved && self.first_sent.is_none_or(|sent| now.duration_since(sent) < FAIL_AGAIN_FOR)
            }
        }
    }
}

/// The lane. Ends when every sender of finished jobs is gone and all is acknowledged, or when it is dropped.
pub(crate) struct AckLane {
    shared: Arc<Shared>,
    finished: mpsc::Receiver<Finished>,
    /// By number, in the order in which they finished.
    unacknowledged: BTreeMap<u64, Tracked>,
    last_number: u64,
}

/// A report's number, and the replies to its lines.
type Reported = (u64, Vec<Result<Reply, Lost>>);
type Report<'a> = Pin<Box<dyn Future<Output = Reported> + Send + Sync + 'a>>;

/// Why the lane leaves a connection.
enum Left {
    /// It is broken: a new one is needed.
    Broken(String),
    /// All is done.
    Finished,
}

impl AckLane {
    pub(crate) const fn new(shared: Arc<Shared>, finished: mpsc::Receiver<Finished>) -> Self {
        Self { shared, finished, unacknowledged: BTreeMap::new(), last_number: 0 }
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut told = String::new();
        let shared = Arc::clone(&self.shared);
        let link = &shared.config.link;
        loop {
            let identity = shared.identity.borrow().clone();
            let Some(opened) = self.meanwhile(Connection::open(link, Some(&identity))).await else { return };
            let why = match opened {
                Ok(connection) => {
                    backoff.reset();
                    told.clear();
                    shared.connected.send_replace(true);
                    tracing::info!(work_server = %format_args!("{}:{}", link.host, link.port), wid = %identity.wid, "connected to the work server");
                    let left = self.serve(&connection, &identity.wid).await;
                    shared.connected.send_replace(false);
                    match left {
                        Left::Finished => return connection.close().await,
                        Left::Broken(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            self.forget_what_is_over();
            if told != why {
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
            self.last_number += 1;
            self.unacknowledged.insert(self.last_number, Tracked { finished, first_sent: None });
            self.count();
        }
    }

    /// Tells the worker how many reports are on their way.
    fn count(&self) {
        self.shared.unreported.store(self.unacknowledged.len(), Ordering::Relaxed);
    }

    async fn serve(&mut self, connection: &Connection, wid: &str) -> Left {
        let mut reports: FuturesUnordered<Report<'_>> = FuturesUnordered::new();
        let mut beat: Option<Pending> = None;
        let every = self.shared.config.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What an earlier connection left unacknowledged goes first.
        let left_over: Vec<u64> = self.unacknowledged.keys().copied().collect();
        for number in left_over {
            reports.extend(self.send(connection, number).await);
        }
        let why = loop {
            if reports.is_empty() && self.is_done() {
                return Left::Finished;
            }
            tokio::select! {
                finished = self.finished.recv(), if self.may_receive() => {
                    self.track(finished);
                    if self.unacknowledged.contains_key(&self.last_number) {
                        reports.extend(self.send(connection, self.last_number).await);
                    }
                }
                Some((number, replies)) = reports.next() => {
                    if self.settle(number, replies) == Settled::Again {
                        reports.extend(self.send_later(connection, number));
                    }
                }
                _ = heartbeat.tick(), if beat.is_none() => {
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
            while let Some((number, replies)) = reports.next().await {
                self.settle(number, replies);
            }
        }
        Left::Broken(why)
    }

    /// Sends a report; the future is of its replies. `None` where it may no longer be sent.
    async fn send<'a>(&mut self, connection: &'a Connection, number: u64) -> Option<Report<'a>> {
        let lines = self.lines_of(number)?;
        // In order, and held back where the window is full.
        let pending = connection.submit_together(lines).await;
        Some(Box::pin(async move { (number, join_all(pending).await) }))
    }

    /// Sends a report after a pause that holds up nothing else.
    fn send_later<'a>(&mut self, connection: &'a Connection, number: u64) -> Option<Report<'a>> {
        let lines = self.lines_of(number)?;
        Some(Box::pin(async move {
            tokio::time::sleep(AGAIN).await;
            (number, join_all(connection.submit_together(lines).await).await)
        }))
    }

    fn lines_of(&mut self, number: u64) -> Option<Vec<Vec<u8>>> {
        if self.unacknowledged.get(&number).is_some_and(|tracked| !tracked.may_be_sent(Instant::now())) {
            self.forget_what_is_over();
        }
        let tracked = self.unacknowledged.get_mut(&number)?;
        // Until it is known that it did not go out, it did.
        tracked.first_sent.get_or_insert_with(Instant::now);
        Some(tracked.lines())
    }

    /// Notes the answer to a report.
    fn settle(&mut self, number: u64, replies: Vec<Result<Reply, Lost>>) -> Settled {
        let Some(tracked) = self.unacknowledged.get_mut(&number) else { return Settled::Done };
        let jid = &tracked.finished.fetched.jid;
        match replies.first() {
            Some(Ok(Reply::Error(text))) => {
                // The job is no longer reserved for us: acknowledged before the connection broke, or its time is over.
                if text.contains("Job not found") || text.contains("invalid ACK") || text.contains("invalid FAIL") {
                    tracing::info!(%jid, answer = %text, "the work server no longer waits for this job's end");
                } else {
                    tracing::warn!(%jid, answer = %text, "the work server could not take a report; it is sent again");
                    return Settled::Again;
                }
            }
            Some(Ok(_)) => {
                if let Some(Ok(Reply::Error(text))) = replies.get(1) {
                    tracing::warn!(%jid, answer = %text, "the work server could not put a hopeless job into the dead set; it will be tried again");
                }
            }
            Some(Err(lost)) => {
                if !lost.sent {
                    tracked.first_sent = None;
                }
                return Settled::Open;
            }
            None => return Settled::Open,
        }
        self.unacknowledged.remove(&number);
        self.count();
        Settled::Done
    }

    /// Gives up reports that would no longer be about our own run.
    fn forget_what_is_over(&mut self) {
        let now = Instant::now();
        self.unacknowledged.retain(|_, tracked| {
            let live = tracked.may_be_sent(now);
            if !live {
                let jid = &tracked.finished.fetched.jid;
                tracing::warn!(%jid, "the end of this job can't be reported any more; where the work server has not heard of it, the job runs again when its reservation ends");
            }
            live
        });
        self.count();
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

    #[tokio::test]
    async fn a_fail_that_may_have_arrived_is_not_sent_again_for_long_and_an_ack_is() {
        let begun = Instant::now();
        let tracked = |outcome, first_sent| Tracked {
            finished: Finished { fetched: Fetched { jid: "j".into(), reserved_until: begun + Duration::from_secs(1800) }, outcome },
            first_sent,
        };
        let failed = || Outcome::Failed(Failure::new("k", "m"));
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(tracked(failed(), Some(begun)).may_be_sent(after(9)));
        assert!(!tracked(failed(), Some(begun)).may_be_sent(after(11)));
        assert!(!tracked(Outcome::FailedForGood(Failure::new("k", "m")), Some(begun)).may_be_sent(after(11)));
        // Never sent, or an ACK: as long as the reservation lasts.
        assert!(tracked(failed(), None).may_be_sent(after(1799)) && !tracked(failed(), None).may_be_sent(after(1801)));
        assert!(tracked(Outcome::Done, Some(begun)).may_be_sent(after(1799)));
    }
}
