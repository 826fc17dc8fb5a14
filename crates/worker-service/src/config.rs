//! What a worker is started with.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::{LinkConfig, Tls};
use service_runtime::{LinkSettings, QueueOrder, Settings};

/// Which queues a worker works on, how much at once, and which work server it uses.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The work server; of `max_connections` one in twelve, four at the most, is for acks and the
    /// rest are for fetches.
    pub link: LinkConfig,
    /// Queues, and how they are chosen from.
    pub queues: QueueOrder,
    /// Jobs run at once.
    pub concurrency: usize,
    /// Connections for fetches at the most; never more than the acks leave.
    pub max_fetch_lanes: usize,
    /// Jobs fetched ahead at the most: asked for or there, and without a place to run. A cut of the
    /// link can leave so many reserved for nobody.
    pub max_prefetch: usize,
    /// The longest that a run may take, where its type has no limit of its own. A job's reservation
    /// ends it in any case.
    pub job_timeout: Option<Duration>,
    /// The time that [`RunningWorker::stop`](crate::RunningWorker::stop) will be given: lanes are
    /// only as deep as it lasts to hear all answers from an empty queue.
    pub shutdown_timeout: Duration,
    /// Pause after an empty fetch, for all fetchers but the one that always waits at the server.
    pub poll_interval: Duration,
    /// How often the worker gives a sign of life. A server gives a worker up after 60 s without
    /// one.
    pub heartbeat: Duration,
    /// Words about the worker, for the work server's pages.
    pub labels: Vec<String>,
}

impl WorkerConfig {
    /// The defaults of api.md.
    #[must_use]
    pub fn new(link: LinkConfig) -> Self {
        Self {
            link,
            queues: QueueOrder::strict([faktory_wire::DEFAULT_QUEUE]),
            concurrency: 50,
            max_fetch_lanes: 64,
            max_prefetch: 1000,
            job_timeout: None,
            shutdown_timeout: Duration::from_secs(30),
            poll_interval: Duration::from_millis(100),
            heartbeat: Duration::from_secs(15),
            labels: vec!["work-factory".into()],
        }
    }

    /// As configured.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Self {
        let worker = &settings.worker;
        Self {
            queues: worker.queues.clone(),
            concurrency: worker.concurrency,
            max_fetch_lanes: worker.max_fetch_lanes,
            max_prefetch: worker.max_prefetch,
            job_timeout: worker.job_timeout,
            shutdown_timeout: settings.shutdown_timeout,
            poll_interval: worker.poll_interval,
            ..Self::new(link_config(&settings.link))
        }
    }
}

/// The link as configured.
#[must_use]
pub fn link_config(settings: &LinkSettings) -> LinkConfig {
    LinkConfig {
        tls: settings.tls.as_ref().map(|tls| Tls {
            config: Arc::clone(&tls.config),
            server_name: tls.server_name.clone(),
        }),
        password: settings.url.password.as_ref().map(|password| password.reveal().to_owned()),
        connect_timeout: settings.connection_timeout,
        read_timeout: settings.read_timeout,
        write_timeout: settings.write_timeout,
        keepalive_idle: settings.keepalive_idle,
        keepalive_interval: settings.keepalive_interval,
        congestion: settings.congestion.clone(),
        breaker_failures: settings.breaker_failures,
        breaker_open_for: settings.breaker_open,
        max_connections: settings.max_connections,
        ..LinkConfig::new(settings.url.host.clone(), settings.url.port)
    }
}
