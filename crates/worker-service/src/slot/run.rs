//! One run of a job: its handler is called within the job's time, and its outcome is logged and
//! counted.

use std::sync::Arc;

use deadline::timeout_at;
use faktory_wire::{DEFAULT_RETRY, Excerpt, Job, MESSAGE_BYTES_MAX};
use job_types::{JobContext, UnpackError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::outcome::{Failure, Outcome};
use crate::panics::Caught;
use crate::registry::{Registered, Registry};
use crate::reporting::Ending;

/// Runs a job, which came as `body`, and has until `limit`. The second value is true where a
/// handler has run.
pub(super) async fn run(
    registry: &Registry,
    shutdown: &CancellationToken,
    mut job: Job,
    body: &[u8],
    limit: Instant,
) -> (Ending, bool) {
    let (jid, retry): (Arc<str>, _) = (job.jid.as_str().into(), job.retry.unwrap_or_default());
    let unpacked = job_types::unpack(&mut job);
    let (registered, metrics) = registry.get(&job.jobtype);
    let (outcome, ran) = match (unpacked, registered) {
        (Err(error), _) => (not_unpacked(&error), false),
        (Ok(()), None) => (no_handler(&job.jobtype, registry), false),
        (Ok(()), Some(registered)) => (call(registered, job, &jid, shutdown, limit).await, true),
    };
    let ending = ending(outcome, &jid, retry, body);
    metrics.ended(&ending);
    (ending, ran)
}

fn not_unpacked(error: &UnpackError) -> Outcome {
    match error {
        // Another worker may know the encoding.
        UnpackError::Unknown(_) => {
            Outcome::Failed(Failure::new("unknown_encoding", error.to_string()))
        }
        UnpackError::Broken(_) => {
            Outcome::FailedForGood(Failure::new("invalid_args", error.to_string()))
        }
    }
}

fn no_handler(job_type: &str, registry: &Registry) -> Outcome {
    let registered = registry.names();
    let job_type = Excerpt(job_type);
    let message = format!("no handler for job type \"{job_type}\"; registered are: {registered}");
    Outcome::Failed(Failure::new("unknown_job_type", message))
}

/// Calls the handler, until `limit` or the time limit of the job's type.
async fn call(
    registered: &Registered,
    job: Job,
    jid: &Arc<str>,
    shutdown: &CancellationToken,
    limit: Instant,
) -> Outcome {
    let begun = Instant::now();
    let own = registered.limit.and_then(|own| begun.checked_add(own));
    let deadline = own.map_or(limit, |own| limit.min(own));
    let cancelled = shutdown.child_token();
    let context = JobContext::new(Arc::clone(jid), deadline.into_std(), cancelled.clone());
    let context = for_attempt(context, &job).with_queue(job.queue_name());
    let run = Caught::start(|| registered.handler.run(job, context));
    let outcome = timeout_at(deadline, run).await.unwrap_or_else(|_| {
        cancelled.cancel();
        let ran_for = begun.elapsed().as_secs_f64();
        let message = format!("the job had not ended after {ran_for:.1} s");
        Outcome::Failed(Failure::new("timeout", message))
    });
    registered.metrics.took.record(begun.elapsed());
    outcome
}

/// The context with the attempt that this run of the job is, and the retries after it.
fn for_attempt(context: JobContext, job: &Job) -> JobContext {
    let done = job.failure.as_ref().map_or(0, |failure| failure.retry_count.saturating_add(1));
    let done = u32::try_from(done).unwrap_or(0);
    let retries = u32::try_from(job.retry.unwrap_or(DEFAULT_RETRY)).unwrap_or(0);
    context
        .with_attempt(done.saturating_add(1))
        .with_remaining_retries(retries.saturating_sub(done))
}

/// The message as the log shows it: no longer than the work server keeps it.
fn message_shown(failure: &Failure) -> String {
    format!("{:.1$}", Excerpt(&failure.message), MESSAGE_BYTES_MAX)
}

/// Logs an outcome, and says what the work server is told of it. The job is read from its body
/// again only where that is needed.
fn ending(outcome: Outcome, jid: &str, retry: i64, body: &[u8]) -> Ending {
    let job_type = || Job::parse(body).map(|job| job.jobtype).unwrap_or_default();
    let jid = Excerpt(jid);
    match outcome {
        Outcome::Done => {
            tracing::debug!(%jid, job_type = %Excerpt(job_type()), "job done");
            Ending::Done
        }
        Outcome::Failed(failure) => {
            let Failure { kind, .. } = &failure;
            let message = message_shown(&failure);
            tracing::warn!(
                %jid, job_type = %Excerpt(job_type()), retry, kind = %Excerpt(kind),
                error = %message, "job failed"
            );
            Ending::Failed(failure)
        }
        Outcome::FailedForGood(failure) => {
            let Failure { kind, .. } = &failure;
            let message = message_shown(&failure);
            tracing::warn!(
                %jid, job_type = %Excerpt(job_type()), kind = %Excerpt(kind),
                error = %message, "job failed for good"
            );
            Ending::FailedForGood(failure)
        }
        Outcome::Snooze(after) => {
            tracing::debug!(%jid, job_type = %Excerpt(job_type()), ?after, "job is snoozed");
            // The body was read before, so it can be read again.
            Job::parse(body).map_or_else(
                |error| Ending::Failed(Failure::new("unreadable_job", error.to_string())),
                |job| Ending::Snooze(Box::new(job), after),
            )
        }
    }
}
