//! What the API is started with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faktory_link::{LinkConfig, Tls};
use service_runtime::{LinkSettings, ServerTls, Settings};

use crate::access::AccessConfig;

/// Where the API listens, what it allows, and which work server it uses.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// Where it listens; port 0 picks a free one.
    pub bind: SocketAddr,
    /// Its certificate; plain HTTP where `None`.
    pub tls: Option<ServerTls>,
    /// Who is let in.
    pub access: AccessConfig,
    /// Every request has ended by then.
    pub request_timeout: Duration,
    /// A body may pause for so long.
    pub body_idle_timeout: Duration,
    /// The largest body, in bytes.
    pub max_body_bytes: usize,
    /// The most jobs in one batch.
    pub max_batch_jobs: usize,
    /// The most distinct queue names accepted.
    pub max_queues: usize,
    /// Args of so many bytes or more are compressed where the caller does not say; none where
    /// `None`.
    pub compress_from: Option<usize>,
    /// The work server.
    pub link: LinkConfig,
}

impl ApiConfig {
    /// The defaults of api.md, on a free port of the loopback address.
    #[must_use]
    pub fn new(link: LinkConfig) -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            access: AccessConfig::default(),
            request_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(10),
            max_body_bytes: 16 << 20,
            max_batch_jobs: 10_000,
            max_queues: 1000,
            compress_from: None,
            link,
        }
    }

    /// As configured.
    #[must_use]
    pub fn from_settings(settings: &Settings) -> Self {
        let api = &settings.api;
        Self {
            bind: api.bind,
            tls: api.tls.clone(),
            access: AccessConfig { keys: api.keys.clone(), hosts: api.allowed_hosts.clone() },
            request_timeout: api.request_timeout,
            max_body_bytes: api.max_body_bytes,
            max_batch_jobs: api.max_batch_jobs,
            max_queues: api.max_queues,
            compress_from: api.compress_from,
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
