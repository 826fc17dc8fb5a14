//! Handlers: the code of a worker's owner that runs jobs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use faktory_wire::Job;
use job_types::JobContext;

use crate::outcome::{Failure, IntoOutcome, Outcome};
use crate::panics;

/// A run that has been started.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A handler of jobs of one type. A panic inside fails the job and harms nothing else.
pub trait Handler: Send + Sync + 'static {
    /// Starts a run. The future is dropped when the job's time, or the worker's time to end, is
    /// over.
    fn run(&self, job: Job, context: JobContext) -> HandlerFuture;
}

/// A handler made of an async function.
pub(crate) struct AsyncHandler<F>(pub(crate) F);

impl<F, Fut, R> Handler for AsyncHandler<F>
where
    F: Fn(Job, JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoOutcome,
{
    fn run(&self, job: Job, context: JobContext) -> HandlerFuture {
        let run = (self.0)(job, context);
        Box::pin(async move { run.await.into_outcome() })
    }
}

/// A handler made of a blocking function, which runs on a thread that may be blocked.
pub(crate) struct BlockingHandler<F>(pub(crate) Arc<F>);

impl<F, R> Handler for BlockingHandler<F>
where
    F: Fn(Job, JobContext) -> R + Send + Sync + 'static,
    R: IntoOutcome + Send + 'static,
{
    fn run(&self, job: Job, context: JobContext) -> HandlerFuture {
        let function = Arc::clone(&self.0);
        Box::pin(async move {
            let run = tokio::task::spawn_blocking(move || {
                panics::catch(|| function(job, context).into_outcome())
            });
            match run.await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Failed(Failure::new("cancelled", error.to_string())),
            }
        })
    }
}
