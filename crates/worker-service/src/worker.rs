//! The worker: made of handlers, started, and ended in order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faktory_link::WorkerIdentity;
use faktory_wire::{Job, WorkerState};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::ack_lane::{AckLane, Finished};
use crate::config::WorkerConfig;
use crate::fetch_lane::FetchLane;
use crate::handler::{AsyncHandler, BlockingHandler, Handler};
use crate::health;
use crate::outcome::{Failure, IntoOutcome, Outcome};
use crate::panics;
use crate::running_jobs::RunningJobs;
use crate::shared::{Shared, new_wid};

/// Reports on their way from runs to the ack lane; a run waits while there are more.
const FINISHED_QUEUE: usize = 1024;

/// A worker that has not been started.
pub struct Worker;

/// A worker being put together.
pub struct WorkerBuilder {
    config: WorkerConfig,
    handlers: HashMap<String, Arc<dyn Handler>>,
    health: Option<health::Listening>,
}

/// A worker at work. Dropped, it stops at once: see [`RunningWorker::stop`].
pub struct RunningWorker {
    /// Both are there until the worker is stopped.
    shared: Option<(Arc<Shared>, mpsc::Sender<Finished>)>,
    lanes: JoinSet<JoinSet<()>>,
    acks: JoinHandle<()>,
    health: Option<JoinHandle<()>>,
    /// The lanes' own.
    runtime: Option<Runtime>,
    state: watch::Receiver<WorkerState>,
    connected: watch::Receiver<bool>,
}

impl Worker {
    /// A worker without handlers.
    #[must_use]
    pub fn builder(config: WorkerConfig) -> WorkerBuilder {
        WorkerBuilder { config, handlers: HashMap::new(), health: None }
    }
}

impl WorkerBuilder {
    /// Runs jobs of this type with this handler; the last one registered counts.
    #[must_use]
    pub fn register(mut self, job_type: impl Into<String>, handler: impl Handler) -> Self {
        self.handlers.insert(job_type.into(), Arc::new(handler));
        self
    }

    /// Runs jobs of this type with an async function. It must not block.
    #[must_use]
    pub fn register_fn<F, Fut, R>(self, job_type: impl Into<String>, function: F) -> Self
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoOutcome + 'static,
    {
        self.register(job_type, AsyncHandler(function))
    }

    /// Runs jobs of this type with a function that may block or compute for long.
    #[must_use]
    pub fn register_blocking_fn<F, R>(self, job_type: impl Into<String>, function: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: IntoOutcome + Send + 'static,
    {
        self.register(job_type, BlockingHandler(Arc::new(function)))
    }

    /// Runs every job of job-types, and logs each result.
    #[must_use]
    pub fn register_job_types(self) -> Self {
        crate::builtin::register(self)
    }

    /// Answers `/health` and `/ready` at this address, where there is one.
    ///
    /// # Errors
    /// Where the address can't be listened on.
    pub async fn serve_health(mut self, address: Option<SocketAddr>) -> Result<Self, health::BindError> {
        if let Some(address) = address {
            self.health = Some(health::listen(address).await?);
        }
        Ok(self)
    }

    /// Starts to work. Does not wait for the work server: the worker tries for ever to reach it. Handlers run on the
    /// runtime that this is called on; the lanes have a thread of their own, so that a handler that blocks holds up
    /// neither acks nor heartbeats.
    ///
    /// # Errors
    /// Where the system gives no thread.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> std::io::Result<RunningWorker> {
        panics::install_hook();
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("worker-lanes").enable_all().build()?;
        let config = self.config;
        let identity = WorkerIdentity { wid: new_wid(), hostname: hostname(), labels: config.labels.clone() };
        let (finished, received) = mpsc::channel(FINISHED_QUEUE);
        let lanes = config.concurrency.min(config.link.max_connections.saturating_sub(1)).max(1);
        let shared = Arc::new(Shared {
            slots: Arc::new(Semaphore::new(config.concurrency.max(1))),
            handlers: self.handlers,
            running: RunningJobs::default(),
            state: watch::Sender::new(WorkerState::Running),
            identity: watch::Sender::new(identity),
            connected: watch::Sender::new(false),
            trouble: watch::Sender::new(None),
            unreported: AtomicUsize::new(0),
            config,
        });
        tracing::info!(queues = ?shared.config.queues, concurrency = shared.config.concurrency, lanes, job_types = %shared.registered(), "worker starts");
        let acks = runtime.spawn(AckLane::new(Arc::clone(&shared), received).run());
        let mut running = JoinSet::new();
        for number in 0..lanes {
            let lane =
                FetchLane { shared: Arc::clone(&shared), finished: finished.clone(), handlers: Handle::current(), is_first: number == 0 };
            running.spawn_on(lane.run(), runtime.handle());
        }
        let health = self.health.map(|listening| {
            let listening = listening.serve(shared.connected.subscribe(), shared.trouble.subscribe());
            runtime.spawn(listening)
        });
        Ok(RunningWorker {
            health,
            runtime: Some(runtime),
            state: shared.state.subscribe(),
            connected: shared.connected.subscribe(),
            shared: Some((shared, finished)),
            lanes: running,
            acks,
        })
    }
}

impl RunningWorker {
    /// Resolves when the work server has told the worker to end; then call [`RunningWorker::stop`]. Cancel safe.
    pub async fn told_to_terminate(&mut self) {
        if self.state.wait_for(|state| *state == WorkerState::Terminate).await.is_err() {
            std::future::pending().await
        }
    }

    /// Resolves when the worker has a connection to the work server. Cancel safe.
    pub async fn connected(&mut self) {
        if self.connected.wait_for(|connected| *connected).await.is_err() {
            std::future::pending().await
        }
    }

    /// Jobs being run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.as_ref().map_or(0, |(shared, _)| shared.running.len())
    }

    /// Ends in order, within `timeout`: no new fetches; what is on the way is taken in; what runs may finish; what is
    /// unfinished when the time is nearly over is failed, so that another worker gets it; acks are flushed; END.
    pub async fn stop(mut self, timeout: Duration) {
        let begun = Instant::now();
        let Some((shared, finished)) = self.shared.take() else { return };
        // A tenth of the time, 2 s at the most, is kept for the last reports.
        let margin = (timeout / 10).min(Duration::from_secs(2));
        let (deadline, end) = (begun + timeout.saturating_sub(margin), begun + timeout);
        shared.advance_state(WorkerState::Terminate);
        tracing::info!(running = shared.running.len(), "shutdown: no new fetches, taking in what is on the way");

        let mut runs = Vec::new();
        while let Ok(Some(lane)) = timeout_at(deadline, self.lanes.join_next()).await {
            runs.extend(lane.ok());
        }
        tracing::info!(running = shared.running.len(), "shutdown: finishing what runs");
        let finish = async {
            for lane in &mut runs {
                while lane.join_next().await.is_some() {}
            }
        };
        if timeout_at(deadline, finish).await.is_err() {
            let _ = timeout_at(end, fail_unfinished(&shared, &finished)).await;
        }
        // Whatever still holds the way to the ack lane goes now; the lane ends when it has reported everything.
        drop(runs);
        self.lanes.abort_all();
        while self.lanes.join_next().await.is_some() {}
        tracing::info!("shutdown: flushing acks");
        drop(finished);
        if timeout_at(end, &mut self.acks).await.is_err() {
            let reports = shared.unreported.load(Ordering::Relaxed);
            if reports > 0 {
                tracing::warn!(
                    reports,
                    "shutdown: the last reports could not be delivered; their jobs run again when their reservations end"
                );
            }
            self.acks.abort();
        }
        if let Some(health) = self.health.take() {
            health.abort();
        }
        tracing::info!(took = ?begun.elapsed(), "the worker has ended");
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.acks.abort();
        if let Some(health) = &self.health {
            health.abort();
        }
        if let Some(runtime) = self.runtime.take() {
            // Where it is dropped is often a task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}

async fn fail_unfinished(shared: &Shared, finished: &mpsc::Sender<Finished>) {
    for fetched in shared.running.take_all() {
        tracing::warn!(jid = %fetched.jid, "shutdown: the job did not finish in time and is failed");
        let failure = Failure::new("shutdown", "the worker was shut down before the job had finished");
        let _ = finished.send(Finished { fetched, outcome: Outcome::Failed(failure) }).await;
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".into())
}
