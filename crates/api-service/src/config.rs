//! The configuration that the API is started with: its settings, and the link to the work server.

use std::net::SocketAddr;
use std::time::Duration;

use admission::Nets;
use faktory_link::LinkConfig;
use job_types::Registry;
use service_runtime::{ApiSettings, Connections, Settings};

/// Where the API listens, what it allows, and which work server it uses.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The settings of the API, as its variables give them; port 0 picks a free one.
    pub api: ApiSettings,
    /// The typed jobs that the API takes.
    pub jobs: Registry,
    /// The connections to the work server.
    pub link: LinkConfig,
    /// A body may pause for so long.
    pub body_idle_timeout: Duration,
    /// The most connections at a time. The client of one more gets a 503, or takes the place of a
    /// connection that has not shown a key; half of the connections, and 2,000 at the most, are
    /// such ones ([`admission::PlaceLimits::of_total`]).
    pub max_connections: usize,
    /// The networks whose connections make room for strangers' last.
    pub trusted: Nets,
}

impl ApiConfig {
    /// The defaults of the variables, on a free port of the loopback address, and the typed jobs
    /// of job-types.
    #[must_use]
    pub fn new(link: LinkConfig) -> Self {
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            api: ApiSettings { bind, ..ApiSettings::default() },
            jobs: job_types::jobs::registry(),
            link,
            body_idle_timeout: Duration::from_secs(10),
            max_connections: Connections::default().api,
            trusted: Nets::default(),
        }
    }

    /// As configured; with the typed jobs of job-types.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            api: settings.api.clone(),
            max_connections: settings.connections.api,
            trusted: settings.process.trusted_nets.clone(),
            ..Self::new(settings.link.config())
        }
    }

    /// The same with these typed jobs, and no others.
    #[must_use]
    pub fn with_jobs(self, jobs: Registry) -> Self {
        Self { jobs, ..self }
    }

    /// The same with changed settings, such as `.with(|api| api.max_queues = 5)`. Keys and the
    /// certificate are `keys` and `tls`; the names of their files alone load nothing, and
    /// [`Api::start`](crate::Api::start) refuses them.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut ApiSettings)) -> Self {
        change(&mut self.api);
        self
    }
}
