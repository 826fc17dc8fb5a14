//! What a link is made with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::observer::Observer;
use crate::stream::Tls;

/// Where the work server is, and how long and how much is waited for it.
#[derive(Clone)]
pub struct LinkConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How TLS is spoken; not at all where `None`.
    pub tls: Option<Tls>,
    /// The password, where the server asks for one.
    pub password: Option<String>,
    /// For each of: a free place in the pool, the TCP connection, the handshake.
    pub connect_timeout: Duration,
    /// For a reply, from when it is the next one due.
    pub read_timeout: Duration,
    /// For the system to take a command's bytes.
    pub write_timeout: Duration,
    /// Silence after which the system probes the connection.
    pub keepalive_idle: Duration,
    /// Time between two probes.
    pub keepalive_interval: Duration,
    /// TCP congestion control of what is sent, such as `bbr`; the system's where `None`, or where
    /// the system refuses it.
    pub congestion: Option<String>,
    /// Failures of the link one after another that open the circuit; 0: it never opens.
    /// [`LinkPool::probe`](crate::LinkPool::probe) closes it again, so whoever lets it open calls
    /// that from time to time.
    pub breaker_failures: u32,
    /// Time until a probe while the circuit is open.
    pub breaker_open_for: Duration,
    /// A push that would wait longer than this behind others is refused at once; where a queue
    /// stands for more than a second, one that would wait longer than three eighths of it.
    pub max_wait: Duration,
    /// Told what happens, for metrics.
    pub observer: Option<Arc<dyn Observer>>,
    /// Connections in the pool at the most.
    pub max_connections: usize,
    /// Bytes of one reply at the most.
    pub reply_limit: usize,
    /// Commands unanswered on one connection at the most.
    pub window_commands: u32,
    /// Bytes of commands unanswered on one connection at the most; a larger single command goes
    /// alone.
    pub window_bytes: u32,
}

impl LinkConfig {
    /// The defaults of api.md, for a server at this address.
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
            reply_limit: 256 << 20,
            window_commands: 256,
            window_bytes: 8 << 20,
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

/// Who a worker's connection says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerIdentity {
    /// The worker's id, shared by all its connections.
    pub wid: String,
    /// Its host.
    pub hostname: String,
    /// Words about it.
    pub labels: Vec<String>,
}
