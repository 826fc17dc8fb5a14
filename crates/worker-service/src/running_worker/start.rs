//! The start of a worker: its parts are made and put to work.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use faktory_link::{LinkConfig, ReplyBudget};
use faktory_wire::Excerpt;
use metrics::{counter, histogram};
use service_runtime::{Tasks, metrics as names};
use tokio::runtime::{Handle, Runtime};

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

/// A worker has one ack lane for each twelve of its connections.
const CONNECTIONS_PER_ACK_LANE: usize = 12;
/// The greatest number of ack lanes.
const ACK_LANES_MAX: usize = 4;
/// The largest answer on an ack lane: to an ACK, a FAIL, a heartbeat, or the push of one job.
const ACK_REPLY_MAX: usize = 64 << 10;

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
        let parts = Parts::new(config, is_busy);
        tracing::info!(
            queues = %parts.config.worker.queues, concurrency = parts.limits.concurrency,
            lanes = parts.limits.lanes, depth = parts.limits.depth,
            job_types = %Excerpt(registry.names()),
            "worker starts"
        );
        let (reports, acks) = parts.spawn_ack_lanes(&runtime);
        let lanes = parts.spawn_fetch_lanes(&runtime);
        let requeue = parts.requeue(reports);
        let slots = parts.spawn_slots(registry, &requeue);
        let mut stale = Tasks::default();
        stale.spawn_on("requeue", requeue.clone().requeue_stale(), runtime.handle());
        let health = parts.spawn_health(health, &runtime);
        parts.flow.refill();
        Ok(Self {
            state: parts.lifecycle.states(),
            connected: parts.lifecycle.connections(),
            lifecycle: parts.lifecycle,
            flow: parts.flow,
            queues: parts.queues,
            replies: parts.replies,
            requeue: Some(requeue),
            concurrency: parts.limits.concurrency,
            lanes,
            slots,
            acks,
            stale,
            health,
            runtime: Some(runtime),
        })
    }
}

/// What the tasks of a worker are made of.
struct Parts {
    config: WorkerConfig,
    limits: Limits,
    lifecycle: Arc<Lifecycle>,
    flow: Arc<Flow>,
    queues: Arc<ReportQueues>,
    /// The memory for large jobs that are read, or wait for a slot.
    replies: Arc<ReplyBudget>,
    done_unacked: Arc<DoneUnacked>,
}

impl Parts {
    fn new(config: WorkerConfig, is_busy: Arc<AtomicBool>) -> Self {
        let connections = config.link.max_connections;
        let ack_lanes = (connections / CONNECTIONS_PER_ACK_LANE).clamp(1, ACK_LANES_MAX);
        let fetch_lanes = config.worker.max_fetch_lanes.min(connections.saturating_sub(ack_lanes));
        let limits = Limits {
            concurrency: config.worker.concurrency.max(1),
            prefetch: config.worker.max_prefetch,
            lanes: fetch_lanes.max(1),
            depth: Limits::depth_within(config.shutdown_timeout - margin(config.shutdown_timeout)),
        };
        let lifecycle = Arc::new(Lifecycle::new(hostname(), config.labels.clone()));
        let queues = Arc::new(ReportQueues::new(ack_lanes));
        let replies = Arc::new(ReplyBudget::new(config.worker.max_buffer_bytes));
        let flow = Arc::new(Flow::new(
            FetchLine::new(&config.worker.queues),
            limits,
            config.worker.poll_interval,
            config.worker.max_buffer_bytes,
            Arc::clone(&replies),
            Arc::clone(&queues),
            is_busy,
        ));
        Self { config, limits, lifecycle, flow, queues, replies, done_unacked: Arc::default() }
    }

    fn spawn_ack_lanes(&self, runtime: &Runtime) -> (Reports, Tasks) {
        // On memory of their own: jobs that wait for memory wait for reports of others.
        let link = LinkConfig { reply_limit: ACK_REPLY_MAX, ..self.config.link.clone() };
        let context = AckContext {
            link,
            heartbeat: self.config.heartbeat,
            lifecycle: Arc::clone(&self.lifecycle),
            flow: Arc::clone(&self.flow),
            queues: Arc::clone(&self.queues),
            done_unacked: Arc::clone(&self.done_unacked),
            ack_lag: histogram!(names::WORKER_ACK_LAG),
        };
        let (reports, ends) = Reports::new(Arc::clone(&self.queues));
        let mut acks = Tasks::default();
        for (number, end) in ends.into_iter().enumerate() {
            let lane = AckLane::new(context.clone(), number, end, reports.first());
            acks.spawn_on("ack lane", lane.run(), runtime.handle());
        }
        (reports, acks)
    }

    fn spawn_fetch_lanes(&self, runtime: &Runtime) -> Tasks {
        let mut lanes = Tasks::default();
        let reply_budget = Some(Arc::clone(&self.replies));
        let link = LinkConfig { reply_budget, ..self.config.link.clone() };
        for number in 0..self.limits.lanes {
            let (lifecycle, flow) = (Arc::clone(&self.lifecycle), Arc::clone(&self.flow));
            let lane = FetchLane::new(&link, lifecycle, flow, number);
            lanes.spawn_on("fetch lane", lane.run(), runtime.handle());
        }
        lanes
    }

    fn requeue(&self, reports: Reports) -> Requeue {
        let intake = Intake {
            lifecycle: Arc::clone(&self.lifecycle),
            done_unacked: Arc::clone(&self.done_unacked),
        };
        Requeue {
            flow: Arc::clone(&self.flow),
            intake: Arc::new(intake),
            running: Arc::new(RunningJobs::default()),
            reports,
            requeued: counter!(names::WORKER_GIVEN_BACK),
        }
    }

    fn spawn_slots(&self, registry: Registry, requeue: &Requeue) -> Tasks {
        let slot = Slot {
            lifecycle: Arc::clone(&self.lifecycle),
            flow: Arc::clone(&self.flow),
            registry: Arc::new(registry),
            intake: Arc::clone(&requeue.intake),
            running: Arc::clone(&requeue.running),
            reports: requeue.reports.clone(),
            requeued: requeue.requeued.clone(),
        };
        let mut slots = Tasks::default();
        for _ in 0..self.limits.concurrency {
            // Whatever handlers do on this runtime can't hold up the lanes.
            slots.spawn_on("slot", slot.clone().run(), &Handle::current());
        }
        slots
    }

    fn spawn_health(&self, listening: Option<Listening>, runtime: &Runtime) -> Tasks {
        let mut health = Tasks::default();
        if let Some(listening) = listening {
            health.spawn_on("health", listening.serve(self.observed()), runtime.handle());
        }
        health
    }

    fn observed(&self) -> Observed {
        Observed {
            lifecycle: Arc::clone(&self.lifecycle),
            flow: Arc::clone(&self.flow),
            reports: Arc::clone(&self.queues),
            replies: Arc::clone(&self.replies),
            slots: self.limits.concurrency,
            connections: self.config.health_connections,
        }
    }
}

/// The name of this machine, for people.
fn hostname() -> String {
    #[cfg(unix)]
    let name = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned());
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok();
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".into())
}
