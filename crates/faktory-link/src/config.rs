//! The configuration of a link.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::observer::Observer;
use crate::reply_budget::ReplyBudget;
use crate::stream::Tls;

/// The configuration of a link: the address of the work server, deadlines and bounds.
#[derive(Clone)]
pub struct LinkConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The settings of TLS; `None` where TLS is not used.
    pub tls: Option<Tls>,
    /// The password, where the server asks for one.
    pub password: Option<String>,
    /// Longest time of each of: a free connection of the pool, the TCP connection, the handshake.
    pub connect_timeout: Duration,
    /// Longest time of a reply, counted from the moment when no other reply is due before it. Each
    /// such time that brings at least 64 KiB of a large reply, and not its end, is followed by
    /// another.
    pub read_timeout: Duration,
    /// Longest time of the system for taking the bytes of a command.
    pub write_timeout: Duration,
    /// Silence after which the system probes the connection.
    pub keepalive_idle: Duration,
    /// Time between two of these probes.
    pub keepalive_interval: Duration,
    /// TCP congestion control for what this side sends, such as `bbr`; the system's own where
    /// `None`, or where the system refuses the given one.
    pub congestion: Option<String>,
    /// Failures of the link one after another that open the circuit; with 0 the circuit never
    /// opens. Any command that is answered closes the circuit again. While the circuit is open no
    /// new push is sent, so a program that lets the circuit open calls
    /// [`LinkPool::probe`](crate::LinkPool::probe) from time to time.
    pub breaker_failures: u32,
    /// Time until the next probe, from the opening of the circuit or from a failed probe.
    pub breaker_open_for: Duration,
    /// Longest wait of a push behind others; a push that would wait longer is refused at once.
    /// Where waits have been longer than three eighths of this for a second, three eighths are the
    /// bound until the queue has drained.
    pub max_wait: Duration,
    /// The observer of the link, for metrics.
    pub observer: Option<Arc<dyn Observer>>,
    /// Connections of the pool at the most.
    pub max_connections: usize,
    /// Bytes of one reply at the most; for a worker the largest job. A pool's replies are bounded
    /// by 8 MiB in any case.
    pub reply_limit: usize,
    /// The memory for replies above 64 KiB, shared by all connections with this configuration;
    /// where `None`, each connection has `reply_limit` for itself, and a pool has it for all of its
    /// connections.
    pub reply_budget: Option<Arc<ReplyBudget>>,
    /// Commands in flight on one connection at the most.
    pub window_commands: u32,
    /// Bytes of commands in flight on one connection at the most; a single command that is larger
    /// is sent alone.
    pub window_bytes: u32,
    /// The names of settings for error texts and logs.
    pub setting_names: SettingNames,
}

/// The names by which people know the link's settings, such as environment variables. Error texts
/// and logs use these names, because the link itself does not know where its configuration comes
/// from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingNames {
    /// The authorities in [`LinkConfig::tls`].
    pub tls_authorities: &'static str,
    /// The server's name in [`LinkConfig::tls`].
    pub tls_server_name: &'static str,
    /// The client certificate in [`LinkConfig::tls`].
    pub tls_certificate: &'static str,
    /// The key of the client certificate in [`LinkConfig::tls`].
    pub tls_key: &'static str,
    /// [`LinkConfig::congestion`].
    pub congestion: &'static str,
}

impl Default for SettingNames {
    /// The names in [`LinkConfig`], for programs that set these members themselves.
    fn default() -> Self {
        Self {
            tls_authorities: "LinkConfig::tls",
            tls_server_name: "Tls::server_name",
            tls_certificate: "LinkConfig::tls",
            tls_key: "LinkConfig::tls",
            congestion: "LinkConfig::congestion",
        }
    }
}

impl LinkConfig {
    /// The default configuration, for a work server at this address.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: None,
            password: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            keepalive_idle: Duration::from_secs(60),
            keepalive_interval: Duration::from_secs(10),
            congestion: None,
            breaker_failures: 5,
            breaker_open_for: Duration::from_secs(1),
            max_wait: Duration::from_secs(2),
            observer: None,
            max_connections: 50,
            // The longest line of a work server is 64 MiB; it adds members to a job.
            reply_limit: 65 << 20,
            reply_budget: None,
            window_commands: 256,
            window_bytes: 8 << 20,
            setting_names: SettingNames::default(),
        }
    }
}

impl fmt::Debug for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// The identity of a worker, told to the server by each of its connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerIdentity {
    /// The worker's id, shared by all its connections.
    pub wid: String,
    /// The name of the worker's host.
    pub hostname: String,
    /// Labels that are shown beside the worker.
    pub labels: Vec<String>,
}
