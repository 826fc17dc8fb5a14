//! The worker: made of handlers, started, and ended in order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use faktory_link::WorkerIdentity;
use faktory_wire::{Job, WorkerState};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::ack_lane::AckLane;
use crate::buffer::Buffer;
use crate::builtin;
use crate::config::WorkerConfig;
use crate::context::JobContext;
use crate::fetch_lane::FetchLane;
use crate::fetch_line::FetchLine;
use crate::giving_back::{give_back_stale, hand_over};
use crate::handler::{AsyncHandler, BlockingHandler, Handler};
use crate::health;
use crate::lanes_runtime;
use crate::metrics::{Metrics, TypeMetrics};
use crate::outcome::IntoOutcome;
use crate::panics;
use crate::place::Place;
use crate::prefetch::{Limits, Prefetch};
use crate::reports::{Reports, Unreported};
use crate::running_jobs::RunningJobs;
use crate::shared::{Registered, Shared, new_wid};
use crate::unconfirmed::Unconfirmed;

/// The longest that a worker may be given to end.
const STOP_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Of so many connections one is for acks, and of this many times that another.
const CONNECTIONS_PER_ACK_LANE: usize = 12;
const ACK_LANES_MAX: usize = 4;

/// A worker that has not been started.
pub struct Worker;

/// A worker being put together.
pub struct WorkerBuilder {
    config: WorkerConfig,
    handlers: HashMap<String, Arc<dyn Handler>>,
    limits: HashMap<String, Duration>,
    health: Option<health::Listening>,
}

/// A worker at work. Dropped, it stops at once: see [`RunningWorker::stop`].
pub struct RunningWorker {
    /// Both are there until the worker is stopped.
    shared: Option<(Arc<Shared>, Reports)>,
    lanes: JoinSet<()>,
    places: JoinSet<()>,
    acks: JoinSet<()>,
    /// Gives back what has waited for too long.
    stale: JoinHandle<()>,
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
        WorkerBuilder { config, handlers: HashMap::new(), limits: HashMap::new(), health: None }
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
        self.register(job_type, AsyncHandler(move |job, _| function(job)))
    }

    /// The same, for a function that wants to know of attempt, deadline and cancellation.
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

    /// Runs jobs of this type with a function that may block or compute for long. When its time is
    /// over its job is failed and its place is free; the function itself goes on, on its thread.
    #[must_use]
    pub fn register_blocking_fn<F, R>(self, job_type: impl Into<String>, function: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: IntoOutcome + Send + 'static,
    {
        self.register(job_type, BlockingHandler(Arc::new(move |job, _| function(job))))
    }

    /// The same, for a function that wants to know of attempt, deadline and cancellation.
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

    /// A job of this type that runs longer is failed. Its reservation, `reserve_for`, ends it in
    /// any case.
    #[must_use]
    pub fn time_limit(mut self, job_type: impl Into<String>, limit: Duration) -> Self {
        self.limits.insert(job_type.into(), limit);
        self
    }

    /// Runs every job of job-types, and logs each result.
    #[must_use]
    pub fn register_job_types(self) -> Self {
        builtin::register(self)
    }

    /// Answers `/health`, `/ready` and `/metrics` at this address, where there is one.
    ///
    /// # Errors
    /// Where the address can't be listened on.
    pub async fn serve_health(
        mut self,
        address: Option<SocketAddr>,
    ) -> Result<Self, health::BindError> {
        if let Some(address) = address {
            self.health = Some(health::listen(address).await?);
        }
        Ok(self)
    }

    /// Starts to work. Does not wait for the work server: the worker tries for ever to reach it.
    /// Handlers run on the runtime that this is called on; the lanes have a thread of their own, so
    /// that a handler that blocks holds up neither acks nor heartbeats.
    ///
    /// # Errors
    /// Where the system gives no thread.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> std::io::Result<RunningWorker> {
        panics::install_hook();
        let is_busy = Arc::new(AtomicBool::new(false));
        let runtime = lanes_runtime::build(Arc::clone(&is_busy))?;
        let config = self.config;
        let identity =
            WorkerIdentity { wid: new_wid(), hostname: hostname(), labels: config.labels.clone() };
        let ack_lanes =
            (config.link.max_connections / CONNECTIONS_PER_ACK_LANE).clamp(1, ACK_LANES_MAX);
        let unreported = Arc::new(Unreported::new(ack_lanes));
        let (reports, ends) = Reports::new(Arc::clone(&unreported));
        let concurrency = config.concurrency.max(1);
        let limits = Limits {
            concurrency,
            prefetch: config.max_prefetch,
            lanes: config
                .max_fetch_lanes
                .min(config.link.max_connections.saturating_sub(ack_lanes))
                .max(1),
            depth: Limits::depth_within(config.shutdown_timeout - margin(config.shutdown_timeout)),
        };
        let limit_of = |job_type: &str| self.limits.get(job_type).copied().or(config.job_timeout);
        let registered = |(job_type, handler): (String, _)| {
            let registered = Registered {
                handler,
                limit: limit_of(&job_type),
                metrics: TypeMetrics::new(&job_type),
            };
            (job_type, registered)
        };
        let shared = Arc::new(Shared {
            handlers: self.handlers.into_iter().map(registered).collect(),
            fetch_line: FetchLine::new(&config.queues),
            prefetch: Mutex::new(Prefetch::new(limits, config.poll_interval)),
            lanes: (0..limits.lanes).map(|_| Notify::new()).collect(),
            buffer: Buffer::new(),
            running: RunningJobs::default(),
            state: watch::Sender::new(WorkerState::Running),
            identity: watch::Sender::new(identity),
            connected: watch::Sender::new(false),
            trouble: watch::Sender::new(None),
            unreported,
            unconfirmed: Unconfirmed::default(),
            suspicion: Notify::new(),
            shutdown: CancellationToken::new(),
            deadline: OnceLock::new(),
            metrics: Metrics::new(),
            is_busy,
            config,
        });
        tracing::info!(
            queues = %shared.config.queues, concurrency, lanes = limits.lanes, depth = limits.depth, job_types = %shared.registered(),
            "worker starts"
        );
        let mut acks = JoinSet::new();
        for (number, end) in ends.into_iter().enumerate() {
            let lane = AckLane::new(Arc::clone(&shared), number, end, reports.first());
            acks.spawn_on(lane.run(), runtime.handle());
        }
        let mut lanes = JoinSet::new();
        for number in 0..limits.lanes {
            lanes.spawn_on(
                FetchLane { shared: Arc::clone(&shared), number }.run(),
                runtime.handle(),
            );
        }
        let mut places = JoinSet::new();
        for _ in 0..concurrency {
            // What handlers do there can't hold up the lanes.
            places.spawn_on(
                Place { shared: Arc::clone(&shared), reports: reports.clone() }.run(),
                &Handle::current(),
            );
        }
        let stale = runtime.spawn(give_back_stale(Arc::clone(&shared), reports.clone()));
        let health =
            self.health.map(|listening| runtime.spawn(listening.serve(Arc::clone(&shared))));
        shared.note(|_, _| ());
        Ok(RunningWorker {
            health,
            stale,
            runtime: Some(runtime),
            state: shared.state.subscribe(),
            connected: shared.connected.subscribe(),
            shared: Some((shared, reports)),
            lanes,
            places,
            acks,
        })
    }
}

impl RunningWorker {
    /// Resolves when the work server has told the worker to end; then call [`RunningWorker::stop`].
    /// Cancel safe.
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
        self.shared.as_ref().map_or(0, |(shared, _)| shared.standing().running)
    }

    /// Jobs fetched and not finished: running, or waiting for a place.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.as_ref().map_or(0, |(shared, _)| {
            let standing = shared.standing();
            standing.running + standing.buffered
        })
    }

    /// Ends in order, within `timeout`: no new fetches, and handlers learn that the worker is to
    /// end; what is on the way is taken in; what runs may finish, and what waits is run where there
    /// is time; at the deadline, a little before the end, what has not begun is pushed again, due 3
    /// s later, and what has is failed, so that another worker gets it; acks are flushed; END.
    pub async fn stop(mut self, timeout: Duration) {
        let begun = Instant::now();
        let timeout = timeout.min(STOP_MAX);
        let Some((shared, reports)) = self.shared.take() else { return };
        let (deadline, end) = (begun + timeout.saturating_sub(margin(timeout)), begun + timeout);
        let _ = shared.deadline.set(deadline);
        shared.advance_state(WorkerState::Terminate);
        shared.shutdown.cancel();
        let phase = |name: &'static str| {
            let standing = shared.standing();
            tracing::info!(
                phase = name, running = standing.running, waiting = standing.buffered, fetches = standing.fetches,
                unacknowledged = shared.unreported.all(), after = ?begun.elapsed(), "shutdown"
            );
        };
        phase("taking in what is on its way");
        while let Ok(Some(_)) = timeout_at(deadline, self.lanes.join_next()).await {}
        phase("finishing what runs");
        shared.buffer.close(shared.config.concurrency.max(1));
        if timeout_at(deadline, all_ended(&mut self.places)).await.is_err() {
            phase("giving back what has not begun, failing what has not finished");
            self.places.abort_all();
            // One whose handler blocks does not end.
            let _ = timeout_at(deadline + margin(timeout) / 4, all_ended(&mut self.places)).await;
        }
        self.lanes.abort_all();
        all_ended(&mut self.lanes).await;
        self.stale.abort();
        let _ = (&mut self.stale).await;
        if timeout_at(end, hand_over(&shared, &reports)).await.is_err() {
            let jobs = shared.running.len() + shared.buffer.len();
            tracing::warn!(
                jobs,
                "shutdown: these could not be reported; they run again when their reservations end"
            );
        }
        let lost = shared.standing().fetches;
        if lost > 0 {
            tracing::warn!(
                fetches = lost,
                "shutdown: these were not answered in time; what they bring comes when its \
                 reservation ends"
            );
        }
        phase("flushing acks");
        drop(reports);
        if timeout_at(end, all_ended(&mut self.acks)).await.is_err() {
            let reports = shared.unreported.all();
            if reports > 0 {
                tracing::warn!(
                    reports,
                    "shutdown: the last reports could not be delivered; their jobs run again when \
                     their reservations end"
                );
            }
            self.acks.abort_all();
        }
        if let Some(health) = self.health.take() {
            health.abort();
        }
        tracing::info!(took = ?begun.elapsed(), "the worker has ended");
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.acks.abort_all();
        self.stale.abort();
        if let Some(health) = &self.health {
            health.abort();
        }
        if let Some(runtime) = self.runtime.take() {
            // Where it is dropped is often a task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}

/// A tenth of the time to end, 2 s at the most, is kept for the last reports.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).min(Duration::from_secs(2))
}

async fn all_ended(parts: &mut JoinSet<()>) {
    while parts.join_next().await.is_some() {}
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".into())
}
