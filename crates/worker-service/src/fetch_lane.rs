//! A fetch lane: one connection that has at most one FETCH outstanding, and only where a place for the job is free.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::Connection;
use faktory_wire::{Command, Job, Reply};
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
    /// The first lane always waits at the server; the others pause when there is nothing.
    pub(crate) is_first: bool,
}

/// What a FETCH brought.
enum Brought {
    Job(Box<Job>),
    Nothing,
    /// The server can't serve at present, or the link is broken: a pause is due.
    Trouble(String),
}

impl FetchLane {
    /// Fetches and starts runs until the worker is to end; returns the runs that are still going on.
    pub(crate) async fn run(self) -> JoinSet<()> {
        let mut runs = JoinSet::new();
        let mut connection: Option<(Connection, String)> = None;
        let mut backoff = Backoff::default();
        while self.shared.may_fetch().await {
            while runs.try_join_next().is_some() {}
            let Some(slot) = self.free_slot().await else { break };
            let brought = match self.connected(&mut connection).await {
                Ok(link) => self.fetch(link).await,
                Err(why) => Brought::Trouble(why),
            };
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
                Brought::Trouble(why) => {
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
                Err(error) => Brought::Trouble(format!("the work server sent a job that can't be read: {error}")),
            },
            Ok(Reply::Nothing) => Brought::Nothing,
            Ok(Reply::Error(text)) => Brought::Trouble(text),
            Ok(Reply::Simple(text)) => Brought::Trouble(format!("unexpected answer to FETCH: {}", String::from_utf8_lossy(&text))),
            Err(lost) => Brought::Trouble(lost.to_string()),
        }
    }

    fn start(&self, runs: &mut JoinSet<()>, job: Job, slot: OwnedSemaphorePermit) {
        let reserved_for = Duration::from_secs(job.effective_reserve_for().into());
        let fetched = Fetched { jid: job.jid.clone(), reserved_until: Instant::now() + reserved_for };
        let number = self.shared.running.begin(fetched);
        runs.spawn(run(Arc::clone(&self.shared), self.finished.clone(), job, number, slot));
    }
}

/// Runs one job and reports how it ended, unless the deadline has done so.
async fn run(shared: Arc<Shared>, finished: mpsc::Sender<Finished>, job: Job, number: u64, slot: OwnedSemaphorePermit) {
    let (jid, job_type) = (job.jid.clone(), job.jobtype.clone());
    let outcome = match (unknown_envelope(&job), shared.handlers.get(&job.jobtype)) {
        (Some(reason), _) => Outcome::Failed(Failure::new("unknown_encoding", reason)),
        (None, Some(handler)) => {
            let handler = Arc::clone(handler);
            Caught(Box::pin(async move { handler.run(job).await })).await
        }
        (None, None) => {
            let message = format!("no handler for job type {:?}; registered are: {}", job.jobtype, shared.registered());
            Outcome::Failed(Failure::new("unknown_job_type", message))
        }
    };
    match &outcome {
        Outcome::Done => tracing::debug!(%jid, %job_type, "job done"),
        Outcome::Failed(failure) => tracing::warn!(%jid, %job_type, kind = %failure.kind, error = %failure.message, "job failed"),
        Outcome::FailedForGood(failure) => {
            tracing::warn!(%jid, %job_type, kind = %failure.kind, error = %failure.message, "job failed for good");
        }
    }
    if let Some(fetched) = shared.running.take(number) {
        // The receiver ends only after all runs have.
        let _ = finished.send(Finished { fetched, outcome }).await;
    }
    drop(slot);
}

/// Why the job's envelope (`custom.wf`, api.md) is none that this version knows; `None` where there is nothing to know.
fn unknown_envelope(job: &Job) -> Option<String> {
    let custom: serde_json::Value = serde_json::from_str(job.custom.as_ref()?.get()).ok()?;
    let envelope = custom.get("wf")?.as_object().cloned().unwrap_or_default();
    let version = envelope.get("v").and_then(serde_json::Value::as_u64);
    match (version, envelope.keys().find(|name| *name != "v")) {
        (Some(1), None) => None,
        (Some(1), Some(member)) => Some(format!("this worker does not know the member {member:?} of custom.wf")),
        (version, _) => Some(format!("this worker does not know version {version:?} of custom.wf; it knows 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_that_is_not_known_is_told() {
        let unknown = |custom: &str| {
            let json = format!(r#"{{"jid":"job-00000001","jobtype":"t","args":[],"custom":{custom}}}"#);
            unknown_envelope(&Job::parse(json.as_bytes()).unwrap()).is_some()
        };
        assert!(!unknown("{}") && !unknown(r#"{"k":1}"#) && !unknown(r#"{"wf":{"v":1}}"#));
        assert!(unknown(r#"{"wf":{"v":2}}"#) && unknown(r#"{"wf":7}"#) && unknown(r#"{"wf":{"v":1,"encoding":"zstd"}}"#));
    }
}
