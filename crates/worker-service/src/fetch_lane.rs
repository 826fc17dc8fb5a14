//! A fetch lane: one connection that has at most one FETCH outstanding, and only where a place for the job is free.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::Connection;
use faktory_wire::{Command, Job, Reply, WorkerState};
use job_types::UnpackError;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ack_lane::Finished;
use crate::backoff::Backoff;
use crate::outcome::{Failure, Outcome};
use crate::panics::Caught;
use crate::running_jobs::Fetched;
use crate::shared::Shared;

/// One lane.
pub(crate) struct FetchLane {
    pub(crate) shared: Arc<Shared>,
    /// To the ack lane, which ends when every way to it has gone.
    pub(crate) finished: mpsc::Sender<Finished>,
    /// Where handlers run: what they do there can't hold up the lanes.
    pub(crate) handlers: Handle,
    /// The first lane always waits at the server; the others pause when there is nothing.
    pub(crate) is_first: bool,
}

/// What a FETCH brought.
enum Brought {
    Job(Box<Job>),
    Nothing,
    /// A job that can't be read; it is failed.
    Unreadable {
        jid: String,
        why: String,
    },
    /// The server can't serve at present: a pause is due.
    Trouble(String),
    /// The link is broken; the ack lane tells of it.
    NoLink(String),
}

impl FetchLane {
    /// Fetches and starts runs until the worker is to end; returns the runs that are still going on.
    pub(crate) async fn run(self) -> JoinSet<()> {
        let mut runs = JoinSet::new();
        let mut connection: Option<(Connection, String)> = None;
        let mut backoff = Backoff::default();
        while self.shared.may_fetch().await {
            while let Some(ended) = runs.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a run ended without a report; its job is failed when the worker ends, or runs again when its reservation does");
                }
            }
            let Some(slot) = self.free_slot().await else { break };
            if *self.shared.state.borrow() != WorkerState::Running {
                continue;
            }
            let brought = match self.connected(&mut connection).await {
                Ok(link) => self.fetch(link).await,
                Err(why) => Brought::NoLink(why),
            };
            match &brought {
                Brought::Job(_) | Brought::Nothing => self.shared.note_fetch(None),
                Brought::Trouble(why) | Brought::Unreadable { why, .. } => self.shared.note_fetch(Some(why)),
                Brought::NoLink(_) => {}
            }
            match brought {
                Brought::Job(job) => {
                    backoff.reset();
                    self.start(&mut runs, *job, slot);
                }
                Brought::Nothing => {
                    backoff.reset();
                    drop(slot);
                    if !self.is_first {
                        self.pause(self.shared.config.poll_interval).await;
                    }
                }
                Brought::Unreadable { jid, why } => {
                    let fetched = Fetched { jid, reserved_until: Instant::now() + SHORTEST_RESERVATION };
                    let outcome = Outcome::Failed(Failure::new("unreadable_job", why));
                    let _ = self.finished.send(Finished { fetched, outcome }).await;
                    drop(slot);
                }
                Brought::Trouble(why) | Brought::NoLink(why) => {
                    drop(slot);
                    let pause = backoff.next();
                    tracing::debug!(%why, ?pause, "failed to fetch");
                    self.pause(pause).await;
                }
            }
        }
        if let Some((connection, _)) = connection {
            connection.close().await;
        }
        runs
    }

    async fn free_slot(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            slot = Arc::clone(&self.shared.slots).acquire_owned() => slot.ok(),
            () = self.shared.terminating() => None,
        }
    }

    async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.shared.terminating() => {}
        }
    }

    /// The lane's connection, a new one where the old one is dead or belongs to a worker id that is no longer ours.
    async fn connected<'a>(&self, connection: &'a mut Option<(Connection, String)>) -> Result<&'a Connection, String> {
        let identity = self.shared.identity.borrow().clone();
        let usable = connection.take().filter(|(link, wid)| link.ended().is_none() && *wid == identity.wid);
        let link = match usable {
            Some((link, _)) => link,
            None => tokio::select! {
                opened = Connection::open(&self.shared.config.link, Some(&identity)) => opened.map_err(|error| error.to_string())?,
                () = self.shared.terminating() => return Err("the worker is to end".into()),
            },
        };
        Ok(&connection.insert((link, identity.wid)).0)
    }

    /// Waits for the answer also when the worker is to end: a job that is on its way must be taken in.
    async fn fetch(&self, link: &Connection) -> Brought {
        match link.ask(&Command::Fetch(self.shared.config.queues.clone())).await {
            Ok(Reply::Bulk(body)) => match Job::parse(&body) {
                Ok(job) if !job.jid.is_empty() => Brought::Job(Box::new(job)),
                Ok(_) => Brought::Trouble("the work server sent a job without an id".into()),
                Err(error) => unreadable(&body, &error.to_string()),
            },
            Ok(Reply::Nothing) => Brought::Nothing,
            Ok(Reply::Error(text)) => Brought::Trouble(text),
            Ok(Reply::Simple(text)) => Brought::Trouble(format!("unexpected answer to FETCH: {}", String::from_utf8_lossy(&text))),
            Err(lost) => Brought::NoLink(lost.to_string()),
        }
    }

    fn start(&self, runs: &mut JoinSet<()>, job: Job, slot: OwnedSemaphorePermit) {
        let reserved_for = Duration::from_secs(job.effective_reserve_for().into());
        let fetched = Fetched { jid: job.jid.clone(), reserved_until: Instant::now() + reserved_for };
        let number = self.shared.running.begin(fetched);
        runs.spawn_on(run(Arc::clone(&self.shared), self.finished.clone(), job, number, slot), &self.handlers);
    }
}

/// Runs one job and reports how it ended, unless the deadline has done so.
async fn run(shared: Arc<Shared>, finished: mpsc::Sender<Finished>, mut job: Job, number: u64, slot: OwnedSemaphorePermit) {
    let (jid, job_type, retry) = (job.jid.clone(), job.jobtype.clone(), job.retry.unwrap_or_default());
    let unpacked = job_types::unpack(&mut job);
    let args: String = job.args_json().chars().take(200).collect();
    let outcome = match (unpacked, shared.handlers.get(&job.jobtype)) {
        // Another worker may know it.
        (Err(error @ UnpackError::Unknown(_)), _) => Outcome::Failed(Failure::new("unknown_encoding", error.to_string())),
        (Err(error @ UnpackError::Broken(_)), _) => Outcome::FailedForGood(Failure::new("invalid_args", error.to_string())),
        (Ok(()), Some(handler)) => {
            let handler = Arc::clone(handler);
            Caught(Box::pin(async move { handler.run(job).await })).await
        }
        (Ok(()), None) => {
            let message = format!("no handler for job type {:?}; registered are: {}", job.jobtype, shared.registered());
            Outcome::Failed(Failure::new("unknown_job_type", message))
        }
    };
    match &outcome {
        Outcome::Done => tracing::debug!(%jid, %job_type, "job done"),
        Outcome::Failed(failure) => {
            tracing::warn!(%jid, %job_type, args = %args, retry, kind = %failure.kind, error = ?failure.message, "job failed");
        }
        Outcome::FailedForGood(failure) => {
            tracing::warn!(%jid, %job_type, args = %args, kind = %failure.kind, error = ?failure.message, "job failed for good");
        }
    }
    if let Some(fetched) = shared.running.take(number) {
        // The receiver ends only after all runs have.
        let _ = finished.send(Finished { fetched, outcome }).await;
    }
    drop(slot);
}

/// The shortest time for which any job is reserved.
const SHORTEST_RESERVATION: Duration = Duration::from_secs(60);

/// A job that is none; where its id can be told it can at least be failed.
fn unreadable(body: &[u8], error: &str) -> Brought {
    let why = format!("the work server sent a job that can't be read: {error}");
    let jid = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|job| Some(job.get("jid")?.as_str()?.to_owned()));
    match jid {
        Some(jid) if !jid.is_empty() => Brought::Unreadable { jid, why },
        _ => Brought::Trouble(why),
    }
}
