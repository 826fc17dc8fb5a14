//! Runs typed jobs and handlers in tests: with a context, and without a server.
//!
//! ```
//! use job_types::Finite;
//! use job_types::jobs::Divide;
//! use worker_service::testing;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let number = |number| Finite::new(number).unwrap();
//! let half = testing::run(Divide { a: number(1.0), b: number(2.0) }).await;
//! assert_eq!(half, Ok(number(0.5)));
//!
//! // In its last attempt, and asked to end.
//! let context = testing::context().with_attempt(3).with_remaining_retries(0);
//! context.token().cancel();
//! let nothing = testing::run_in(context, Divide { a: number(1.0), b: number(0.0) }).await;
//! assert!(nothing.unwrap_err().is_for_good());
//! # }
//! ```

use std::time::{Duration, Instant};

use faktory_wire::{DEFAULT_RESERVE_FOR, InvalidJob, Job};
use job_types::{JobContext, RunError, RunJob};
use tokio_util::sync::CancellationToken;

use crate::handler::{AsyncHandler, Handler};
use crate::outcome::{IntoOutcome, Outcome};
use crate::panics::{self, Caught};

/// The id of the jobs that are run here, unless the test gives them another.
const JOB_ID: &str = "a-job-of-a-test";

/// The context of a first run: a job of the queue `default` that is tried again 25 times, has half
/// an hour, and is not asked to end. The methods of [`JobContext`] that begin with `with` change
/// it; its [`token`](JobContext::token) asks the run to end.
#[must_use]
pub fn context() -> JobContext {
    let time = Duration::from_secs(DEFAULT_RESERVE_FOR.unsigned_abs());
    JobContext::new(JOB_ID.into(), Instant::now() + time, CancellationToken::new())
        .with_remaining_retries(25)
}

/// Runs a typed job as a worker would: its args are written, read again and checked. Nobody ends
/// the run at its deadline.
///
/// # Errors
/// Those of the job; and for good, where the job does not take its own args.
pub async fn run<J: RunJob>(job: J) -> Result<J::Output, RunError> {
    run_in(context(), job).await
}

/// The same as [`run`] with a context of the test's own.
///
/// # Errors
/// Those of [`run`].
pub async fn run_in<J: RunJob>(context: JobContext, job: J) -> Result<J::Output, RunError> {
    let args = job.to_args();
    drop(job);
    job_types::run::<J>(args.get(), context).await
}

/// A job for a handler: its type, and its args as a JSON array.
///
/// # Errors
/// Where the args are no JSON.
pub fn job(job_type: &str, args: &str) -> Result<Job, InvalidJob> {
    let mut job = Job::parse(format!(r#"{{"args":{args}}}"#).as_bytes())?;
    job.jid = JOB_ID.into();
    job.jobtype = job_type.into();
    Ok(job)
}

/// Runs a handler with a job; a panic is a failure, as in a worker.
///
/// ```
/// use worker_service::{Job, JobContext, Outcome, testing};
///
/// async fn send_mail(job: Job, context: JobContext) -> Outcome {
///     if context.attempt() > 1 { Outcome::Done } else { Outcome::Snooze(Default::default()) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let job = testing::job("send_mail", r#"["ann@example.org"]"#).unwrap();
/// let context = testing::context().with_attempt(2);
/// assert_eq!(testing::call(send_mail, job, context).await, Outcome::Done);
/// # }
/// ```
pub async fn call<F, Fut, R>(function: F, job: Job, context: JobContext) -> Outcome
where
    F: Fn(Job, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoOutcome + 'static,
{
    handle(&AsyncHandler(function), job, context).await
}

/// The same as [`call`] for a value that is a [`Handler`].
pub async fn handle(handler: &impl Handler, job: Job, context: JobContext) -> Outcome {
    panics::install_hook();
    Caught::start(|| handler.run(job, context)).await
}

#[cfg(test)]
mod tests {
    use job_types::{Finite, define_job};

    use super::*;

    define_job! {
        /// Says what its context says.
        struct Told = "told" { number: Finite }
    }

    impl RunJob for Told {
        type Output = (u32, u32, String, bool);

        async fn run(self, context: JobContext) -> Result<Self::Output, RunError> {
            let (attempt, left) = (context.attempt(), context.remaining_retries());
            Ok((attempt, left, context.queue().into(), context.is_cancelled()))
        }
    }

    #[tokio::test]
    async fn a_typed_job_is_run_in_the_context_of_the_test() {
        let told = || Told { number: Finite::new(1.0).unwrap() };
        assert_eq!(run(told()).await, Ok((1, 25, "default".into(), false)));
        let context = context().with_attempt(26).with_remaining_retries(0).with_queue("q");
        context.token().cancel();
        assert_eq!(run_in(context, told()).await, Ok((26, 0, "q".into(), true)));
    }

    #[tokio::test]
    async fn a_handler_that_panics_fails_its_job() {
        let job = job("t", "[1]").unwrap();
        assert_eq!(job.args_json(), "[1]");
        let panics = |_: Job, _: JobContext| async { panic!("deliberate") };
        let Outcome::Failed(failure) = call::<_, _, ()>(panics, job, context()).await else {
            panic!("no failure")
        };
        assert_eq!(failure.kind, "panic");
    }
}
