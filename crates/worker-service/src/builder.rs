//! The builder of a worker: handlers, time limits, and the address for health checks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faktory_wire::Job;
use job_types::{JobContext, NameTwice};

use crate::config::WorkerConfig;
use crate::handler::{AsyncHandler, BlockingHandler, Handler};
use crate::health;
use crate::outcome::IntoOutcome;
use crate::registry::Registry;
use crate::running_worker::RunningWorker;
use crate::typed;

/// A worker that has not been started.
pub struct Worker;

/// A worker being put together.
pub struct WorkerBuilder {
    config: WorkerConfig,
    handlers: HashMap<String, Arc<dyn Handler>>,
    limits: HashMap<String, Duration>,
    health: Option<health::Listening>,
    /// Where a registry of typed jobs has a name twice.
    twice: Option<NameTwice>,
}

impl Worker {
    /// A worker without handlers.
    #[must_use]
    pub fn builder(config: WorkerConfig) -> WorkerBuilder {
        WorkerBuilder {
            config,
            handlers: HashMap::new(),
            limits: HashMap::new(),
            health: None,
            twice: None,
        }
    }
}

impl WorkerBuilder {
    /// Runs jobs of this type with this handler; the last one registered counts.
    #[must_use]
    pub fn register(mut self, job_type: impl Into<String>, handler: impl Handler) -> Self {
        self.handlers.insert(job_type.into(), Arc::new(handler));
        self
    }

    /// Runs jobs of this type with an async function. The function must not block.
    #[must_use]
    pub fn register_fn<F, Fut, R>(self, job_type: impl Into<String>, function: F) -> Self
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoOutcome + 'static,
    {
        self.register(job_type, AsyncHandler(move |job, _| function(job)))
    }

    /// Runs jobs of this type with an async function that also gets the attempt, the
    /// deadline and the cancellation of its run.
    #[must_use]
    pub fn register_fn_with_context<F, Fut, R>(
        self,
        job_type: impl Into<String>,
        function: F,
    ) -> Self
    where
        F: Fn(Job, JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoOutcome + 'static,
    {
        self.register(job_type, AsyncHandler(function))
    }

    /// Runs jobs of this type with a function that may block or compute for long. When the time of
    /// a job is over the job is failed and its slot is free; the function goes on, on its thread.
    #[must_use]
    pub fn register_blocking_fn<F, R>(self, job_type: impl Into<String>, function: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: IntoOutcome + Send + 'static,
    {
        self.register(job_type, BlockingHandler(Arc::new(move |job, _| function(job))))
    }

    /// Runs jobs of this type with a blocking function that also gets the attempt, the
    /// deadline and the cancellation of its run.
    #[must_use]
    pub fn register_blocking_fn_with_context<F, R>(
        self,
        job_type: impl Into<String>,
        function: F,
    ) -> Self
    where
        F: Fn(Job, JobContext) -> R + Send + Sync + 'static,
        R: IntoOutcome + Send + 'static,
    {
        self.register(job_type, BlockingHandler(Arc::new(function)))
    }

    /// Fails a job of this type that runs longer. The job's reservation, `reserve_for`, ends its
    /// run in any case.
    #[must_use]
    pub fn time_limit(mut self, job_type: impl Into<String>, limit: Duration) -> Self {
        self.limits.insert(job_type.into(), limit);
        self
    }

    /// Runs the typed jobs of this registry, and logs each result.
    #[must_use]
    pub fn register_jobs(mut self, jobs: &job_types::Registry) -> Self {
        self.twice = self.twice.or(jobs.check().err());
        self.handlers.extend(typed::handlers(jobs));
        self
    }

    /// Answers `/health`, `/ready` and `/metrics` at this address, where there is one.
    ///
    /// # Errors
    /// Where the address can't be listened on.
    #[expect(clippy::unused_async, reason = "it listens within a runtime, as its callers await")]
    pub async fn serve_health(
        mut self,
        address: Option<SocketAddr>,
    ) -> Result<Self, health::BindError> {
        if let Some(address) = address {
            self.health = Some(health::listen(address)?);
        }
        Ok(self)
    }

    /// Starts to work. Does not wait for the work server: the worker tries for ever to reach it.
    /// Handlers run on the runtime that this is called on; the lanes have a thread of their own, so
    /// that a handler that blocks holds up neither acks nor heartbeats.
    ///
    /// # Errors
    /// Where the system gives no thread, or a registry of typed jobs has a name twice.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> std::io::Result<RunningWorker> {
        if let Some(twice) = self.twice {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, twice));
        }
        let registry = Registry::new(self.handlers, &self.limits, self.config.worker.job_timeout);
        RunningWorker::start(self.config, registry, self.health)
    }
}
