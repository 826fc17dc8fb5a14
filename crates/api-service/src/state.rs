//! What the handlers and layers share. Each part is a module of its own that does not know the
//! whole.

use std::net::SocketAddr;
use std::sync::Arc;

use admission::Failures;
use axum::extract::Request;
use axum::http::HeaderMap;
use faktory_link::{JobOutcome, Pusher};
use tokio::time::Instant;

use crate::access::keyring::Keyring;
use crate::access::origins::Origins;
use crate::body::{self, BodyLimits, Holds, Whole};
use crate::config::ApiConfig;
use crate::figures::Figures;
use crate::lifecycle::{Lifecycle, shutting_down};
use crate::liveness::Liveness;
use crate::long_work::LongWork;
use crate::prefer;
use crate::problem::Problem;
use crate::queue_names::QueueNames;
use crate::slow_threads::SlowThreads;
use crate::streams::Streams;
use crate::unread::Pace;

/// The parts of the running service.
pub(crate) struct State {
    pub(crate) config: ApiConfig,
    pub(crate) keyring: Keyring,
    /// Unknown keys, by the address that sent them.
    pub(crate) failures: Failures,
    pub(crate) origins: Origins,
    pub(crate) pusher: Pusher,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) queues: QueueNames,
    pub(crate) figures: Arc<Figures>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) bodies: BodyLimits,
    pub(crate) long_work: LongWork,
    /// Where large bodies are decoded.
    pub(crate) threads: Arc<SlowThreads>,
    pub(crate) streams: Streams,
    /// How fast the rests of refused bodies are read.
    pub(crate) discards: Pace,
}

/// The shared state, cheap to clone as axum needs it.
pub(crate) type SharedState = Arc<State>;

impl State {
    /// The parts of a service that listens on this address.
    pub(crate) fn new(
        config: ApiConfig,
        address: SocketAddr,
        pusher: Pusher,
        figures: Arc<Figures>,
    ) -> Self {
        let threads = Arc::new(SlowThreads::start());
        Self {
            bodies: BodyLimits::new(
                config.api.max_body_bytes,
                config.api.max_job_bytes,
                config.body_idle_timeout,
            ),
            long_work: LongWork::on(Arc::clone(&threads)),
            threads,
            streams: Streams::default(),
            discards: Pace::default(),
            pusher,
            liveness: Arc::default(),
            figures,
            queues: QueueNames::new(config.api.max_queues),
            lifecycle: Lifecycle::new(),
            keyring: Keyring::new(&config.api),
            failures: Failures::default(),
            origins: Origins::new(&config.api, address),
            config,
        }
    }

    /// The time by which a request that begins now must have ended.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Instant {
        prefer::deadline(headers, self.config.api.request_timeout)
    }

    /// Reads a JSON body, unless the service shuts down. Not cancel safe: dropped, the body is
    /// lost.
    pub(crate) async fn read_json(
        &self,
        holds: Holds,
        request: Request,
        deadline: Instant,
    ) -> Result<Whole, Problem> {
        self.lifecycle.check_serving()?;
        tokio::select! {
            whole = body::read_json(&self.bodies, holds, request, deadline, &self.threads) => whole,
            () = self.lifecycle.time_is_up() => Err(shutting_down().closing_at_once()),
        }
    }

    /// Notes the outcomes of jobs in the metrics and in what is known of the work server.
    pub(crate) fn note(&self, outcomes: &[JobOutcome]) {
        self.liveness.note_push(outcomes);
        self.figures.outcomes(outcomes);
    }
}
