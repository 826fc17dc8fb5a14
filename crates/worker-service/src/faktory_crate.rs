//! The adapter for workers written with the `faktory` crate: its `JobRunner` as a handler, its
//! `Job` as ours. That crate's own client and worker are not used.

use std::error::Error;
use std::sync::Arc;

use faktory::JobRunner;
use faktory_wire::{InvalidJob, Job, Timestamp};
use job_types::JobContext;

use crate::handler::{Handler, HandlerFuture};
use crate::outcome::{Failure, IntoOutcome, Outcome};

/// A `JobRunner` as a handler: `builder.register("resize",
/// faktory_crate::runner(MyRunner::new()))`.
pub fn runner<R>(runner: R) -> impl Handler
where
    R: JobRunner + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    Adapted(Arc::new(runner))
}

struct Adapted<R>(Arc<R>);

impl<R> Handler for Adapted<R>
where
    R: JobRunner + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn run(&self, job: Job, _: JobContext) -> HandlerFuture {
        let runner = Arc::clone(&self.0);
        Box::pin(async move {
            match to_crate(job) {
                Ok(job) => runner.run(job).await.into_outcome(),
                Err(error) => Outcome::Failed(Failure::new(
                    "unreadable_job",
                    format!("the faktory crate can't read this job: {error}"),
                )),
            }
        })
    }
}

/// Our job as the crate's. Members that the crate can't read are made readable first: a reservation
/// must be there, a creation time must be RFC 3339, retries left must not be negative.
///
/// # Errors
/// Where the crate can't read the job: a number in the args may be beyond its range.
pub fn to_crate(mut job: Job) -> Result<faktory::Job, serde_json::Error> {
    job.reserve_for = Some(job.effective_reserve_for().into());
    job.queue = Some(job.queue_name().to_owned());
    job.created_at = job.created_at.filter(|time| Timestamp::parse(time).is_ok());
    if let Some(failure) = &mut job.failure {
        failure.remaining = failure.remaining.max(0);
    }
    let mut json = Vec::new();
    job.encode(&mut json);
    serde_json::from_slice(&json)
}

/// The crate's job as ours, ready to be pushed.
///
/// # Errors
/// Where a work server would not take the job.
pub fn from_crate(job: &faktory::Job) -> Result<Job, InvalidJob> {
    Job::parse(&serde_json::to_vec(job)?)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn jobs_of_other_languages_are_readable_for_the_crate() {
        for json in [
            r#"{"jid":"job-00000001","jobtype":"t","args":[1,"two",{"k":null}]}"#,
            r#"{
                "jid": "job-00000001", "jobtype": "t", "args": [], "created_at": "hello",
                "reserve_for": 0, "retry": -1,
                "failure": {
                    "failed_at": "2026-01-02T03:04:05Z", "retry_count": 0, "remaining": -1,
                    "message": "m", "errtype": "E"
                }
            }"#,
        ] {
            let job = Job::parse(json.as_bytes()).unwrap();
            let theirs = to_crate(job).unwrap();
            assert_eq!(theirs.kind(), "t");
            let back = from_crate(&theirs).unwrap();
            assert_eq!((back.jid.as_str(), back.reserve_for), ("job-00000001", Some(1800)));
        }
    }

    #[tokio::test]
    async fn a_runner_of_the_crate_is_a_handler() {
        let handler = runner(Box::new(|job: faktory::Job| async move {
            if job.args().is_empty() { Err(std::io::Error::other("no args")) } else { Ok(()) }
        }));
        let job = |args| {
            Job::parse(
                format!(r#"{{"jid":"job-00000001","jobtype":"t","args":{args}}}"#).as_bytes(),
            )
            .unwrap()
        };
        let context =
            || JobContext::new("job-00000001".into(), Instant::now(), CancellationToken::new());
        assert_eq!(handler.run(job("[1]"), context()).await, Outcome::Done);
        assert_eq!(
            handler.run(job("[]"), context()).await,
            Outcome::Failed(Failure::new("error", "no args"))
        );
    }
}
