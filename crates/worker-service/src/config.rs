//! The configuration that a worker is started with: its settings, and the link to the work server.

use std::time::Duration;

use faktory_link::LinkConfig;
use service_runtime::{Connections, ProcessSettings, Settings, WorkerSettings};

/// Which queues a worker works on, how many jobs at once, and which work server it uses.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The settings of the worker, as its variables give them.
    pub worker: WorkerSettings,
    /// The connections to the work server: of `max_connections` one in twelve, four at the most,
    /// is for acks and the rest are for fetches.
    pub link: LinkConfig,
    /// The time that [`RunningWorker::stop`](crate::RunningWorker::stop) will be given: lanes are
    /// only as deep as that time lasts to hear all answers from an empty queue.
    pub shutdown_timeout: Duration,
    /// How often the worker gives a sign of life. A server gives a worker up after 60 s without
    /// one.
    pub heartbeat: Duration,
    /// Words about the worker, for the work server's pages.
    pub labels: Vec<String>,
    /// The most connections at a time to `/health`, `/ready` and `/metrics`. One more takes the
    /// place of another.
    pub health_connections: usize,
}

impl WorkerConfig {
    /// The defaults of the variables.
    #[must_use]
    pub fn new(link: LinkConfig) -> Self {
        Self {
            worker: WorkerSettings::default(),
            link,
            shutdown_timeout: ProcessSettings::default().shutdown_timeout,
            heartbeat: Duration::from_secs(15),
            labels: vec!["work-factory".into()],
            health_connections: Connections::default().worker,
        }
    }

    /// As configured.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            worker: settings.worker.clone(),
            shutdown_timeout: settings.process.shutdown_timeout,
            health_connections: settings.connections.worker,
            ..Self::new(settings.link.config())
        }
    }

    /// The same with changed settings, such as `.with(|worker| worker.concurrency = 4)`.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut WorkerSettings)) -> Self {
        change(&mut self.worker);
        self
    }
}
