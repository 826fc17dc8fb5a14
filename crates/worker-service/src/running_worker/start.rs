//! The start of a worker: its parts are made and put to work.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use metrics::{counter, histogram};
use service_runtime::metrics as names;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinSet;

use super::RunningWorker;
use super::stop::margin;
use crate::ack_lane::{AckContext, AckLane};
use crate::config::WorkerConfig;
use crate::fetch_lane::FetchLane;
use crate::fetch_line::FetchLine;
use crate::flow::Flow;
use crate::health::{Listening, Observed};
use crate::intake::Intake;
use crate::lanes_runtime;
use crate::lifecycle::Lifecycle;
use crate::panics;
use crate::prefetch::Limits;
use crate::registry::Registry;
use crate::reporting::{DoneUnacked, ReportQueues, Reports};
use crate::requeue::Requeue;
use crate::running_jobs::RunningJobs;
use crate::slot::Slot;

/// A worker has one ack lane for every so many connections.
const CONNECTIONS_PER_ACK_LANE: usize = 12;
const ACK_LANES_MAX: usize = 4;

impl RunningWorker {
    /// Puts a worker to work; its slots on the current runtime, all else on a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(
        config: WorkerConfig,
        registry: Registry,
        health: Option<Listening>,
    ) -> std::io::Result<Self> {
        panics::install_hook();
        let is_busy = Arc::new(AtomicBool::new(false));
        let runtime = lanes_runtime::build(Arc::clone(&is_busy))?;
        let ack_lanes = ack_lanes(&config);
        let limits = limits(&config, ack_lanes);
        tracing::info!(
            queues = %config.queues, concurrency = limits.concurrency, lanes = limits.lanes,
            depth = limits.depth, job_types = %registry.names(),
            "worker starts"
        );
        let lifecycle = Arc::new(Lifecycle::new(hostname(), config.labels.clone()));
        let queues = Arc::new(ReportQueues::new(ack_lanes));
        let flow = Arc::new(Flow::new(
            FetchLine::new(&config.queues),
            limits,
            config.poll_interval,
            Arc::clone(&queues),
            is_busy,
        ));
        let done_unacked = Arc::new(DoneUnacked::default());
        let (reports, acks) =
            spawn_ack_lanes(&config, &lifecycle, &flow, &queues, &done_unacked, &runtime);
        let lanes = spawn_fetch_lanes(&config, limits.lanes, &lifecycle, &flow, &runtime);
        let requeue = Requeue {
            flow: Arc::clone(&flow),
            intake: Arc::new(Intake { lifecycle: Arc::clone(&lifecycle), done_unacked }),
            running: Arc::new(RunningJobs::default()),
            reports,
            requeued: counter!(names::WORKER_GIVEN_BACK),
        };
        let slots = spawn_slots(limits.concurrency, &lifecycle, registry, &requeue);
        let stale = runtime.spawn(requeue.clone().requeue_stale());
        let observed = Observed {
            lifecycle: Arc::clone(&lifecycle),
            flow: Arc::clone(&flow),
            reports: Arc::clone(&queues),
            slots: limits.concurrency,
        };
        let health = health.map(|listening| runtime.spawn(listening.serve(observed)));
        flow.refill();
        Ok(Self {
            state: lifecycle.states(),
            connected: lifecycle.connections(),
            lifecycle,
            flow,
            queues,
            requeue: Some(requeue),
            concurrency: limits.concurrency,
            lanes,
            slots,
            acks,
            stale,
            health,
            runtime: Some(runtime),
        })
    }
}

fn ack_lanes(config: &WorkerConfig) -> usize {
    (config.link.max_connections / CONNECTIONS_PER_ACK_LANE).clamp(1, ACK_LANES_MAX)
}

fn limits(config: &WorkerConfig, ack_lanes: usize) -> Limits {
    let for_fetches = config.link.max_connections.saturating_sub(ack_lanes);
    Limits {
        concurrency: config.concurrency.max(1),
        prefetch: config.max_prefetch,
        lanes: config.max_fetch_lanes.min(for_fetches).max(1),
        depth: Limits::depth_within(config.shutdown_timeout - margin(config.shutdown_timeout)),
    }
}

fn spawn_ack_lanes(
    config: &WorkerConfig,
    lifecycle: &Arc<Lifecycle>,
    flow: &Arc<Flow>,
    queues: &Arc<ReportQueues>,
    done_unacked: &Arc<DoneUnacked>,
    runtime: &Runtime,
) -> (Reports, JoinSet<()>) {
    let context = AckContext {
        link: config.link.clone(),
        heartbeat: config.heartbeat,
        lifecycle: Arc::clone(lifecycle),
        flow: Arc::clone(flow),
        queues: Arc::clone(queues),
        done_unacked: Arc::clone(done_unacked),
        ack_lag: histogram!(names::WORKER_ACK_LAG),
    };
    let (reports, ends) = Reports::new(Arc::clone(queues));
    let mut acks = JoinSet::new();
    for (number, end) in ends.into_iter().enumerate() {
        let lane = AckLane::new(context.clone(), number, end, reports.first());
        acks.spawn_on(lane.run(), runtime.handle());
    }
    (reports, acks)
}

fn spawn_fetch_lanes(
    config: &WorkerConfig,
    count: usize,
    lifecycle: &Arc<Lifecycle>,
    flow: &Arc<Flow>,
    runtime: &Runtime,
) -> JoinSet<()> {
    let mut lanes = JoinSet::new();
    for number in 0..count {
        let lane = FetchLane::new(&config.link, Arc::clone(lifecycle), Arc::clone(flow), number);
        lanes.spawn_on(lane.run(), runtime.handle());
    }
    lanes
}

fn spawn_slots(
    count: usize,
    lifecycle: &Arc<Lifecycle>,
    registry: Registry,
    requeue: &Requeue,
) -> JoinSet<()> {
    let slot = Slot {
        lifecycle: Arc::clone(lifecycle),
        flow: Arc::clone(&requeue.flow),
        registry: Arc::new(registry),
        intake: Arc::clone(&requeue.intake),
        running: Arc::clone(&requeue.running),
        reports: requeue.reports.clone(),
        requeued: requeue.requeued.clone(),
    };
    let mut slots = JoinSet::new();
    for _ in 0..count {
        // Whatever handlers do on this runtime can't hold up the lanes.
        slots.spawn_on(slot.clone().run(), &Handle::current());
    }
    slots
}

fn hostname() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".into())
}
