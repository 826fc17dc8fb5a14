//! What a broker is started with.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ServerConfig;

/// Where a broker listens, where it stores, and what it allows.
#[derive(Clone)]
pub struct BrokerConfig {
    /// The address to listen on; port 0 picks a free one.
    pub bind: SocketAddr,
    /// The folder of the store; made where it does not exist.
    pub data_dir: PathBuf,
    /// The password that clients must know, where there is one.
    pub password: Option<String>,
    /// How TLS is spoken; not at all where `None`.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections at a time; one more is told so and closed. Faktory's limit.
    pub max_connections: usize,
    /// Bytes in one command. A longer one is answered with an error and ends its connection.
    pub max_line_bytes: usize,
    /// Distinct queues; a push to one more is refused.
    pub max_queues: usize,
    /// Time for a client to say who it is. Faktory's limit.
    pub handshake_timeout: Duration,
}

impl BrokerConfig {
    /// A broker at this address with its store in this folder, without a password.
    #[must_use]
    pub const fn new(bind: SocketAddr, data_dir: PathBuf) -> Self {
        Self {
            bind,
            data_dir,
            password: None,
            tls: None,
            max_connections: 2000,
            max_line_bytes: 64 << 20,
            max_queues: 100_000,
            handshake_timeout: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("bind", &self.bind)
            .field("data_dir", &self.data_dir)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .field("max_connections", &self.max_connections)
            .field("max_line_bytes", &self.max_line_bytes)
            .finish_non_exhaustive()
    }
}
