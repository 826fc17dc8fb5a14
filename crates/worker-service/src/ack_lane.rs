//! An ack lane: a connection for ACKs and FAILs, and, on the first lane, for heartbeats. Reports
//! that have come meanwhile go out in one write, and no report waits for others. A report that is
//! not acknowledged is sent again on a new connection, as long as it may be sent. The sockets and
//! timers are in this file and in `heartbeat.rs`; the reports are in the lane's ledger.

mod heartbeat;
mod ledger;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Backoff, Connection, LinkConfig, Lost};
use faktory_wire::{Excerpt, Reply};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use metrics::Histogram;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::heartbeat::{BeatEvent, Heartbeat};
use self::ledger::{Ledger, SentReport};
use crate::flow::Flow;
use crate::lifecycle::Lifecycle;
use crate::reporting::{DoneUnacked, FirstLane, PendingReport, ReportQueues, SEND_AGAIN_AFTER};

/// A connection that answers nothing for this long is dead: sooner than a fetch lane's, so that a
/// FAIL can still be sent again over the next.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Reports in one write at the most.
const TOGETHER: usize = 512;

/// Unanswered lines at the most: far more than a worker sends in a round trip.
const WINDOW: u32 = 16_384;

/// The parts of a worker that every ack lane needs.
#[derive(Clone)]
pub(crate) struct AckContext {
    pub(crate) link: LinkConfig,
    /// The interval of heartbeats.
    pub(crate) heartbeat: Duration,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) queues: Arc<ReportQueues>,
    pub(crate) done_unacked: Arc<DoneUnacked>,
    /// The time from the end of a job to the acknowledgement of its report.
    pub(crate) ack_lag: Histogram,
}

/// An ack lane. Ends when every sender of reports is gone and all reports are settled, or when it
/// is dropped.
pub(crate) struct AckLane {
    context: AckContext,
    lane: usize,
    is_connected: bool,
    /// The way for reports that this lane can't deliver; unused by the first lane.
    first: Option<FirstLane>,
    finished: mpsc::Receiver<PendingReport>,
    ledger: Ledger,
}

/// Reports that went out together, and the answers to all their lines.
type Answered = (Vec<SentReport>, Vec<Result<Reply, Lost>>);
type Awaited<'a> = Pin<Box<dyn Future<Output = Answered> + Send + Sync + 'a>>;
/// The numbers of reports that are to be sent again, after a pause.
type Pause = Pin<Box<dyn Future<Output = Vec<u64>> + Send + Sync>>;

/// Why the lane leaves a connection.
enum ConnectionEnd {
    /// The connection is broken: a new one is needed.
    Broken(String),
    /// All reports are settled, and no more can come.
    AllSettled,
}

impl AckLane {
    pub(crate) fn new(
        mut context: AckContext,
        lane: usize,
        finished: mpsc::Receiver<PendingReport>,
        first: Option<FirstLane>,
    ) -> Self {
        context.link.read_timeout = context.link.read_timeout.min(SILENCE_MAX);
        context.link.window_commands = WINDOW;
        Self { context, lane, is_connected: false, first, finished, ledger: Ledger::default() }
    }

    /// True for the lane that sends the heartbeats. The other lanes connect where there are more
    /// reports than a server takes on one connection.
    const fn is_first(&self) -> bool {
        self.lane == 0
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut logged = String::new();
        let link = self.context.link.clone();
        let queues = Arc::clone(&self.context.queues);
        loop {
            if !self.is_first() && self.ledger.is_empty() {
                let wanted = queues.wanted(self.lane);
                if self.meanwhile(wanted).await.is_none() {
                    return;
                }
            }
            let identity = self.context.lifecycle.identity();
            let opening = Connection::open(&link, Some(&identity));
            let Some(opened) = self.meanwhile(opening).await else { return };
            let why = match opened {
                Ok(connection) => {
                    let mut has_answered = false;
                    self.connected(&identity.wid);
                    let end = self.serve(&connection, &identity.wid, &mut has_answered).await;
                    self.disconnected();
                    // A server that has no room for more connections says so after its greeting.
                    if has_answered {
                        backoff.reset();
                        logged.clear();
                    }
                    match end {
                        ConnectionEnd::AllSettled => return connection.close().await,
                        ConnectionEnd::Broken(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            self.give_up_expired();
            self.hand_over().await;
            self.log_once(&mut logged, why);
            let pause = tokio::time::sleep(backoff.next_pause());
            if self.meanwhile(pause).await.is_none() {
                return;
            }
        }
    }

    fn connected(&mut self, wid: &str) {
        self.is_connected = true;
        self.context.queues.open(self.lane, true);
        if self.is_first() {
            self.context.lifecycle.set_connected(true);
            let LinkConfig { host, port, .. } = &self.context.link;
            tracing::info!(
                work_server = %format_args!("{}:{port}", Excerpt(host)), wid = %Excerpt(wid),
                "connected to the work server"
            );
        }
    }

    fn disconnected(&mut self) {
        self.is_connected = false;
        if self.is_first() {
            self.context.lifecycle.set_connected(false);
        } else {
            self.context.queues.open(self.lane, false);
        }
    }

    /// Logs why there is no connection, once for each reason: the worker tries for ever, and the
    /// log is to be read.
    fn log_once(&self, logged: &mut String, why: String) {
        if *logged != why && self.is_first() {
            let LinkConfig { host, port, .. } = &self.context.link;
            tracing::warn!(
                work_server = %format_args!("{}:{port}", Excerpt(host)), %why,
                unacknowledged = self.ledger.len(),
                "no work server (FAKTORY_URL says where it is); trying for ever"
            );
            *logged = why;
        }
    }

    /// Waits for `work` and takes reports in meanwhile; `None` as soon as all reports are settled
    /// and no more can come.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            if self.is_done() {
                return None;
            }
            tokio::select! {
                done = &mut work => return Some(done),
                report = self.finished.recv(), if self.may_receive() => {
                    self.track(report.into_iter());
                }
            }
        }
    }

    /// True while reports are queued or can still come.
    fn may_receive(&self) -> bool {
        !(self.finished.is_closed() && self.finished.is_empty())
    }

    /// True where all reports are settled and no more can come.
    fn is_done(&self) -> bool {
        self.ledger.is_empty() && !self.may_receive()
    }

    /// Takes reports in; returns their numbers.
    fn track(&mut self, reports: impl Iterator<Item = PendingReport>) -> std::ops::Range<u64> {
        let first = self.ledger.next_number();
        for report in reports {
            if !self.is_connected && report.is_done() {
                self.context.done_unacked.note(std::iter::once(report.jid()));
            }
            self.ledger.add(report);
        }
        first..self.ledger.next_number()
    }

    /// Hands the reports that this lane could not deliver to the first lane, since this lane may
    /// get no connection again.
    async fn hand_over(&mut self) {
        if self.is_first() {
            return;
        }
        let Some(first) = &self.first else { return };
        while let Some((number, report)) = self.ledger.take_first() {
            if let Err(report) = first.hand_over(report).await {
                self.ledger.put_back(number, report);
                break;
            }
            self.context.queues.settled(self.lane, 1);
        }
    }

    /// Sends reports over a connection until the connection breaks or all reports are settled.
    async fn serve(
        &mut self,
        connection: &Connection,
        wid: &str,
        has_answered: &mut bool,
    ) -> ConnectionEnd {
        let flow = Arc::clone(&self.context.flow);
        let mut heartbeat = Heartbeat::new(self.context.heartbeat, &self.context.lifecycle, &flow);
        let mut awaited = self.send_left_over(connection).await;
        // Reports that a server with a passing error gets again.
        let mut again: FuturesUnordered<Pause> = FuturesUnordered::new();
        let mut finished = Vec::with_capacity(TOGETHER);
        let why = loop {
            if awaited.is_empty() && self.is_done() {
                return ConnectionEnd::AllSettled;
            }
            tokio::select! {
                count = self.finished.recv_many(&mut finished, TOGETHER), if self.may_receive() => {
                    let numbers = self.track(finished.drain(..count));
                    if !numbers.is_empty() {
                        awaited.push(self.send(connection, numbers).await);
                    }
                }
                Some((sent, answers)) = awaited.next() => {
                    *has_answered |= answers.iter().any(Result::is_ok);
                    let refused = self.settle(&sent, &answers);
                    // Unacknowledged reports may have held up fetches.
                    flow.refill();
                    if !refused.is_empty() {
                        again.push(Box::pin(paused(refused)));
                    }
                }
                Some(numbers) = again.next() => {
                    awaited.push(self.send(connection, numbers.into_iter()).await);
                }
                event = heartbeat.next(), if self.is_first() => {
                    *has_answered |= matches!(event, BeatEvent::Answered(Ok(_)));
                    if let Err(why) = heartbeat.go_on(event, connection, wid).await {
                        break why;
                    }
                }
                cause = connection.until_ended() => break cause.to_string(),
            }
        };
        // On a connection that has not ended these answers might never come.
        if connection.ended().is_some() {
            self.settle_rest(awaited).await;
        }
        flow.refill();
        self.context.done_unacked.note(self.ledger.done());
        ConnectionEnd::Broken(why)
    }

    /// Notes the answers that were awaited when the connection ended, and the loss of the others.
    async fn settle_rest(&mut self, mut awaited: FuturesUnordered<Awaited<'_>>) {
        while let Some((sent, answers)) = awaited.next().await {
            self.settle(&sent, &answers);
        }
    }

    /// Sends the reports that an earlier connection left unacknowledged.
    async fn send_left_over<'a>(
        &mut self,
        connection: &'a Connection,
    ) -> FuturesUnordered<Awaited<'a>> {
        let awaited = FuturesUnordered::new();
        for numbers in self.ledger.numbers().chunks(TOGETHER) {
            awaited.push(self.send(connection, numbers.iter().copied()).await);
        }
        awaited
    }

    /// Sends reports, as far as they may still be sent; the future resolves to their answers.
    async fn send<'a>(
        &mut self,
        connection: &'a Connection,
        numbers: impl Iterator<Item = u64>,
    ) -> Awaited<'a> {
        let outgoing = self.ledger.send(numbers, connection.abilities(), Instant::now());
        self.given_up(&outgoing.given_up);
        let sent = outgoing.sent;
        // In order, and held back where the window is full.
        let pending = connection.submit_together(outgoing.lines).await;
        Box::pin(async move { (sent, join_all(pending).await) })
    }

    /// Notes the answers to reports; returns the reports that are to be sent again.
    fn settle(&mut self, sent: &[SentReport], answers: &[Result<Reply, Lost>]) -> Vec<u64> {
        let Self { context, lane, ledger, .. } = self;
        let now = Instant::now();
        ledger.settle(sent, answers, now, |report| {
            context.queues.settled(*lane, 1);
            context.ack_lag.record(report.lag(now));
            context.done_unacked.confirmed(report.jid());
        })
    }

    /// Gives up reports that would no longer be about this worker's own runs.
    fn give_up_expired(&mut self) {
        let given_up = self.ledger.give_up(Instant::now());
        self.given_up(&given_up);
        self.context.flow.refill();
    }

    /// Notes reports that were given up.
    fn given_up(&self, reports: &[PendingReport]) {
        for report in reports {
            let jid = report.jid();
            tracing::warn!(
                jid = %Excerpt(jid),
                "the end of this job can't be reported any more; if no report has arrived, the job \
                 is offered again when its reservation ends"
            );
            if report.is_done() {
                self.context.done_unacked.is_over(jid);
            }
            self.context.queues.settled(self.lane, 1);
        }
    }
}

/// The numbers of refused reports, when it is time to send them again.
async fn paused(refused: Vec<u64>) -> Vec<u64> {
    tokio::time::sleep(SEND_AGAIN_AFTER).await;
    refused
}
