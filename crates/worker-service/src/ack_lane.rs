//! The ack lane: one connection for ACKs, FAILs and heartbeats. What is not acknowledged is sent again on a new
//! connection, until it is or the reservation is over.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{Connection, Pending};
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

impl Finished {
    /// The lines that report it; they go out in one write.
    fn lines(&self) -> Vec<Vec<u8>> {
        let jid = &self.fetched.jid;
        match &self.outcome {
            Outcome::Done => vec![Command::Ack(jid.clone()).to_line()],
            Outcome::Failed(failure) => vec![Command::Fail(Box::new(failure.clone().report(jid))).to_line()],
            Outcome::FailedForGood(failure) => {
                let filter = Filter { jids: Some(vec![jid.clone()]), ..Filter::default() };
                let kill = Mutation { kind: MutationKind::Kill, target: TargetSet::Retries, filter };
                vec![Command::Fail(Box::new(failure.clone().report(jid))).to_line(), Command::Mutate(kill).to_line()]
            }
        }
    }
}

/// The lane. Ends when every sender of finished jobs is gone and all is acknowledged, or when it is dropped.
pub(crate) struct AckLane {
    pub(crate) shared: Arc<Shared>,
    pub(crate) finished: mpsc::Receiver<Finished>,
    /// By number, in the order in which they finished.
    unacknowledged: BTreeMap<u64, Finished>,
    last_number: u64,
}

/// A report's number, and the replies to its lines.
type Reported = (u64, Result<Vec<Reply>, String>);
type Report = Pin<Box<dyn Future<Output = Reported> + Send + Sync>>;

/// Why the lane leaves a connection.
enum Left {
    /// It is broken: a new one is needed.
    Broken(String),
    /// All is done.
    Finished,
}

/// A server that answers an ACK with a passing error gets it again after this.
const AGAIN: Duration = Duration::from_millis(500);

impl AckLane {
    pub(crate) const fn new(shared: Arc<Shared>, finished: mpsc::Receiver<Finished>) -> Self {
        Self { shared, finished, unacknowledged: BTreeMap::new(), last_number: 0 }
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let identity = self.shared.identity.borrow().clone();
            let why = match Connection::open(&self.shared.config.link, Some(&identity)).await {
                Ok(connection) => {
                    backoff.reset();
                    self.shared.connected.send_replace(true);
                    tracing::info!(wid = %identity.wid, "connected to the work server");
                    let left = self.serve(&connection, &identity.wid).await;
                    self.shared.connected.send_replace(false);
                    match left {
                        Left::Finished => return connection.close().await,
                        Left::Broken(why) => why,
                    }
                }
                Err(error) => error.to_string(),
            };
            self.forget_expired();
            if self.is_done() {
                return;
            }
            let pause = backoff.next();
            tracing::warn!(%why, ?pause, unacknowledged = self.unacknowledged.len(), "no connection to the work server; trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// True where nothing is left to report and nothing can come any more.
    fn is_done(&self) -> bool {
        self.unacknowledged.is_empty() && self.finished.is_closed() && self.finished.is_empty()
    }

    async fn serve(&mut self, connection: &Connection, wid: &str) -> Left {
        let mut reports: FuturesUnordered<Report> = FuturesUnordered::new();
        let mut beat: Option<Pending> = None;
        let every = self.shared.config.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What an earlier connection left unacknowledged goes first.
        for (number, finished) in &self.unacknowledged {
            reports.push(report(connection, *number, finished).await);
        }
        loop {
            if reports.is_empty() && self.is_done() {
                return Left::Finished;
            }
            tokio::select! {
                finished = self.finished.recv(), if !(self.finished.is_closed() && self.finished.is_empty()) => {
                    let Some(finished) = finished else { continue };
                    self.last_number += 1;
                    reports.push(report(connection, self.last_number, &finished).await);
                    self.unacknowledged.insert(self.last_number, finished);
                }
                Some((number, result)) = reports.next() => match result {
                    Ok(replies) => if !self.settle(number, &replies) {
                        // Told to come again: on this connection, a little later.
                        tokio::time::sleep(AGAIN).await;
                        self.forget_expired();
                        if let Some(finished) = self.unacknowledged.get(&number) {
                            reports.push(report(connection, number, finished).await);
                        }
                    },
                    Err(why) => return Left::Broken(why),
                },
                _ = heartbeat.tick(), if beat.is_none() => {
                    let line = Command::Beat(Beat { wid: wid.into(), ..Beat::default() }).to_line();
                    match connection.submit(line).await {
                        Ok(pending) => beat = Some(pending),
                        Err(lost) => return Left::Broken(lost.to_string()),
                    }
                }
                Some(answer) = answer_of(&mut beat) => {
                    beat = None;
                    match answer {
                        Ok(reply) => if let Some(why) = self.obey(&reply) {
                            return Left::Broken(why);
                        },
                        Err(lost) => return Left::Broken(lost.to_string()),
                    }
                }
            }
        }
    }

    /// Notes the answer to a report; false where it has to be sent again.
    fn settle(&mut self, number: u64, replies: &[Reply]) -> bool {
        let Some(Reply::Error(text)) = replies.first() else {
            // ACK and FAIL are answered with OK. What follows a FAIL (the kill) finds its job or does not.
            self.unacknowledged.remove(&number);
            return true;
        };
        // The job is no longer reserved for us: acknowledged before the connection broke, or its time is over.
        if text.contains("Job not found") || text.contains("invalid ACK") || text.contains("invalid FAIL") {
            if let Some(finished) = self.unacknowledged.remove(&number) {
                tracing::info!(jid = %finished.fetched.jid, answer = %text, "the work server no longer waits for this job's end");
            }
            return true;
        }
        tracing::warn!(answer = %text, "the work server could not take a report; it is sent again");
        false
    }

    /// A report that comes after the reservation has run out would be about somebody else's run.
    fn forget_expired(&mut self) {
        let now = Instant::now();
        self.unacknowledged.retain(|_, finished| {
            let live = finished.fetched.reserved_until > now;
            if !live {
                tracing::warn!(jid = %finished.fetched.jid, "the end of this job could not be reported before its reservation ran out; it will run again");
            }
            live
        });
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

/// Sends a report; the future is of its replies.
async fn report(connection: &Connection, number: u64, finished: &Finished) -> Report {
    let replies = join_all(connection.submit_together(finished.lines()).await);
    Box::pin(async move {
        let replies: Result<Vec<Reply>, _> = replies.await.into_iter().collect();
        (number, replies.map_err(|lost| lost.to_string()))
    })
}

/// The answer to a heartbeat; none where none is out.
async fn answer_of(beat: &mut Option<Pending>) -> Option<<Pending as Future>::Output> {
    match beat {
        Some(pending) => Some(pending.await),
        None => None,
    }
}
