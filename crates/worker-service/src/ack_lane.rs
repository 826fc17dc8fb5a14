//! An ack lane: a connection for ACKs and FAILs, and, the first one, for heartbeats. What has ended
//! meanwhile is told in one write, and nothing waits for more. What is not acknowledged is sent
//! again on a new connection, until it is or it may no longer be.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, LinkConfig, Lost, Pending};
use faktory_wire::{Beat, Command, Reply, WorkerState};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::backoff::Backoff;
use crate::outcome::Ending;
use crate::report::{AGAIN, Settled, Tracked};
use crate::reports::FirstLane;
use crate::shared::{Shared, new_wid};

/// A connection that answers nothing for so long is dead: sooner than a lane's, so that a FAIL can
/// still be sent again over the next.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A heartbeat is not more frequent than this.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// Reports in one write at the most.
const TOGETHER: usize = 512;

/// Reports unanswered at the most: a worker's rate by a round trip, and far more.
const WINDOW: u32 = 16_384;

/// The lane. Ends when every sender of finished jobs is gone and all is acknowledged, or when it is
/// dropped.
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

/// Reports that went out together: their numbers and how many lines each has, and the replies to
/// all lines.
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
    pub(crate) const fn new(
        shared: Arc<Shared>,
        lane: usize,
        finished: mpsc::Receiver<Tracked>,
        first: Option<FirstLane>,
    ) -> Self {
        Self {
            shared,
            lane,
            is_connected: false,
            first,
            finished,
            unacknowledged: BTreeMap::new(),
            last_number: 0,
        }
    }

    /// The first lane speaks for the worker; the others are there where it has more to tell than a
    /// server takes on one connection.
    const fn is_first(&self) -> bool {
        self.lane == 0
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut told = String::new();
        let shared = Arc::clone(&self.shared);
        let config = &shared.config.link;
        let link = &LinkConfig {
            read_timeout: config.read_timeout.min(SILENCE_MAX),
            window_commands: WINDOW,
            ..config.clone()
        };
        loop {
            if !self.is_first() && self.unacknowledged.is_empty() {
                let shared = Arc::clone(&shared);
                if self.meanwhile(shared.unreported.wanted(self.lane)).await.is_none() {
                    return;
                }
            }
            let identity = shared.identity.borrow().clone();
            let Some(opened) = self.meanwhile(Connection::open(link, Some(&identity))).await else {
                return;
            };
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

    /// Waits for something and takes finished jobs in meanwhile; `None` as soon as nothing is left
    /// to be done.
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

    /// What a lane that is not the first could not tell goes to the first: this one may get no
    /// connection again.
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
        // Whatever was out has ended with the connection, or ends with it now; what each says is
        // noted.
        if connection.ended().is_some() {
            while let Some((numbers, replies)) = reports.next().await {
                self.settle_all(&numbers, replies);
            }
        }
        shared.note(|_, _| ());
        let done =
            self.unacknowledged.values().filter(|tracked| tracked.finished.ending == Ending::Done);
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
        let (mut counts, mut all) =
            (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
        for number in numbers {
            let Some(tracked) = self.unacknowledged.get_mut(number) else { continue };
            if !tracked.may_be_sent(now) {
                self.forget(*number);
                continue;
            }
            tracked.goes_out(now);
            let lines = tracked.lines();
            counts.push((*number, lines.len()));
            all.extend(lines);
        }
        (counts, all)
    }

    /// Notes the answers to reports; returns those that are to be sent again.
    fn settle_all(
        &mut self,
        numbers: &[(u64, usize)],
        replies: Vec<Result<Reply, Lost>>,
    ) -> Vec<u64> {
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
        let settled = tracked.settle(replies);
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
                return Some(
                    "the work server has forgotten this worker; it comes back under a new id"
                        .into(),
                );
            }
            Reply::Error(text) => tracing::warn!(answer = %text, "heartbeat refused"),
            Reply::Simple(_) | Reply::Nothing => {}
        }
        None
    }
}

/// The answer to a heartbeat; none where none is out.
async fn answer_of(beat: &mut Option<Pending>) -> Option<<Pending as Future>::Output> {
    match beat {
        Some(pending) => Some(pending.await),
        None => None,
    }
}
