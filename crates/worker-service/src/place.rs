//! A place to run jobs: takes the next one, runs it within its time, and reports how it ended.

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::Job;
use job_types::UnpackError;
use tokio::time::{Instant, timeout_at};

use crate::buffer::Buffered;
use crate::context::JobContext;
use crate::outcome::{Ending, Failure, Outcome};
use crate::panics::Caught;
use crate::report::Finished;
use crate::reports::Reports;
use crate::running_jobs::Fetched;
use crate::shared::Shared;

/// A job's time ends so long before its reservation, a twelfth of it at the most, so that its FAIL
/// arrives within it.
const FAIL_AHEAD: Duration = Duration::from_secs(5);
/// The shortest time for which any job is reserved.
const SHORTEST_RESERVATION: Duration = Duration::from_secs(60);
/// Nothing can be told of a job without an id; not too many of them at once.
const NONSENSE_PAUSE: Duration = Duration::from_millis(100);

/// One of as many as jobs may run at once.
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reports: Reports,
}

impl Place {
    /// Runs one job after another until nothing more comes.
    pub(crate) async fn run(self) {
        while let Some(buffered) = self.shared.buffer.next().await {
            self.shared.prefetch().begun();
            let took = self.take(buffered).await;
            self.shared.note(|prefetch, now| prefetch.ended(took, now));
        }
    }

    /// Runs a job, or says why not.
    async fn take(&self, buffered: Buffered) -> Option<Duration> {
        let Some((fetched, known)) = known(&self.shared, &buffered) else {
            tokio::time::sleep(NONSENSE_PAUSE).await;
            return None;
        };
        let reserved_until = fetched.reserved_until;
        let number = self.shared.running.begin(fetched);
        let begun = Instant::now();
        let (ending, ran) = match known {
            Known::Ended(ending) => (ending, false),
            Known::Job(job) if !self.has_time() => (given_back(&self.shared, job), false),
            Known::Job(job) => {
                let reserved = Duration::from_secs(job.effective_reserve_for().into());
                let limit = reserved_until - FAIL_AHEAD.min(reserved / 12);
                run(&self.shared, *job, &buffered, limit).await
            }
        };
        let took = begun.elapsed();
        self.shared.running.ended(number, ending);
        let permit = self.reports.reserve().await;
        // Somebody else may have reported it: the deadline of a shutdown.
        if let (Some(permit), Some((fetched, Some(ending)))) =
            (permit, self.shared.running.take(number))
        {
            permit.send(Finished { fetched, ending, ended: Instant::now() });
        }
        ran.then_some(took)
    }

    /// False where the worker is to end and jobs take longer than what is left.
    fn has_time(&self) -> bool {
        let Some(deadline) = self.shared.deadline.get() else { return true };
        let takes = self.shared.prefetch().service().unwrap_or_default();
        Instant::now() + takes * 2 < *deadline
    }
}

/// What is known of a fetched job before it is run.
pub(crate) enum Known {
    Job(Box<Job>),
    /// It is not to be run: what is to be told of it.
    Ended(Ending),
}

/// Reads a job as it came; `None` where it has no id, so that nothing can be told of it.
pub(crate) fn known(shared: &Shared, buffered: &Buffered) -> Option<(Fetched, Known)> {
    let fetched = |jid: &str, reserved: Duration| Fetched {
        jid: jid.into(),
        reserved_until: buffered.came + reserved,
    };
    let why = match Job::parse(&buffered.body) {
        Ok(job) if !job.jid.is_empty() => {
            let fetched =
                fetched(&job.jid, Duration::from_secs(job.effective_reserve_for().into()));
            if shared.unconfirmed.is_done(&job) {
                tracing::info!(jid = %job.jid, "this worker has done this job already, and says so again");
                return Some((fetched, Known::Ended(Ending::Done)));
            }
            return Some((fetched, Known::Job(Box::new(job))));
        }
        Ok(_) => "it has no id".to_owned(),
        Err(error) => error.to_string(),
    };
    let why = format!("the work server sent a job that can't be read: {why}");
    shared.note_fetch(Some(&why));
    let value = serde_json::from_slice::<serde_json::Value>(&buffered.body).ok()?;
    let jid = value.get("jid")?.as_str().filter(|jid| !jid.is_empty())?;
    Some((
        fetched(jid, SHORTEST_RESERVATION),
        Known::Ended(Ending::Failed(Failure::new("unreadable_job", why))),
    ))
}

/// A job that was not run, for others.
pub(crate) fn given_back(shared: &Shared, job: Box<Job>) -> Ending {
    shared.metrics.given_back.increment(1);
    Ending::Later(job, Duration::ZERO)
}

/// Runs one job; the second is true where a handler has run.
async fn run(shared: &Shared, mut job: Job, buffered: &Buffered, limit: Instant) -> (Ending, bool) {
    let (jid, retry) = (job.jid.clone(), job.retry.unwrap_or_default());
    let unpacked = job_types::unpack(&mut job);
    let registered = shared.handlers.get(&job.jobtype);
    let metrics = registered.map_or(&shared.metrics.other, |registered| &registered.metrics);
    let mut ran = false;
    let outcome = match (unpacked, registered) {
        // Another worker may know it.
        (Err(error @ UnpackError::Unknown(_)), _) => {
            Outcome::Failed(Failure::new("unknown_encoding", error.to_string()))
        }
        (Err(error @ UnpackError::Broken(_)), _) => {
            Outcome::FailedForGood(Failure::new("invalid_args", error.to_string()))
        }
        (Ok(()), None) => {
            let message = format!(
                "no handler for job type {:?}; registered are: {}",
                job.jobtype,
                shared.registered()
            );
            Outcome::Failed(Failure::new("unknown_job_type", message))
        }
        (Ok(()), Some(registered)) => {
            ran = true;
            let begun = Instant::now();
            let own = registered.limit.and_then(|own| begun.checked_add(own));
            let deadline = own.map_or(limit, |own| limit.min(own));
            let cancelled = shared.shutdown.child_token();
            let attempt = job.failure.as_ref().map_or(1, |failure| {
                u32::try_from(failure.retry_count.saturating_add(2)).unwrap_or(1)
            });
            let context = JobContext { attempt, deadline, cancelled: cancelled.clone() };
            let handler = Arc::clone(&registered.handler);
            let run = Caught(Box::pin(async move { handler.run(job, context).await }));
            let outcome = timeout_at(deadline, run).await.unwrap_or_else(|_| {
                cancelled.cancel();
                let message =
                    format!("the job had not ended after {:.1} s", begun.elapsed().as_secs_f64());
                Outcome::Failed(Failure::new("timeout", message))
            });
            metrics.took.record(begun.elapsed());
            outcome
        }
    };
    let job_type = || Job::parse(&buffered.body).map(|job| job.jobtype).unwrap_or_default();
    let args = || {
        Job::parse(&buffered.body)
            .map(|job| job.args_json().chars().take(200).collect::<String>())
            .unwrap_or_default()
    };
    let ending = match outcome {
        Outcome::Done => {
            tracing::debug!(%jid, job_type = %job_type(), "job done");
            Ending::Done
        }
        Outcome::Failed(failure) => {
            tracing::warn!(%jid, job_type = %job_type(), args = %args(), retry, kind = %failure.kind, error = ?failure.message, "job failed");
            Ending::Failed(failure)
        }
        Outcome::FailedForGood(failure) => {
            tracing::warn!(%jid, job_type = %job_type(), args = %args(), kind = %failure.kind, error = ?failure.message, "job failed for good");
            Ending::FailedForGood(failure)
        }
        Outcome::Later(after) => {
            tracing::debug!(%jid, job_type = %job_type(), ?after, "job is to run later");
            // It was read before, so it can be read again.
            Job::parse(&buffered.body).map_or_else(
                |error| Ending::Failed(Failure::new("unreadable_job", error.to_string())),
                |job| Ending::Later(Box::new(job), after),
            )
        }
    };
    metrics.ended(&ending);
    (ending, ran)
}
