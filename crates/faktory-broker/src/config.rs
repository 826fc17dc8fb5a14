//! The configuration of a broker.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use admission::Nets;
use faktory_wire::Abilities;
use tokio_rustls::rustls::ServerConfig;

use crate::machine::IdLimits;
use crate::observer::Observer;

/// The configuration of a broker: its address, its data folder, and its limits.
#[derive(Clone)]
pub struct BrokerConfig {
    /// The address to listen on; port 0 picks a free one.
    pub bind: SocketAddr,
    /// The folder of the store. The folder is made where it does not exist.
    pub data_dir: PathBuf,
    /// The password that clients must know; `None` where no password is asked for.
    pub password: Option<String>,
    /// The configuration of TLS; `None` where connections are plain.
    pub tls: Option<Arc<ServerConfig>>,
    /// The most connections at a time. The client of one more gets an error and is disconnected,
    /// or takes the place of a connection that has not said HELLO; half of the connections at the
    /// most are such ones ([`admission::PlaceLimits::of_total`]). The default is Faktory's.
    pub max_connections: usize,
    /// The networks whose connections make room for strangers' last.
    pub trusted: Nets,
    /// The most bytes in one command. A longer command is answered with an error and ends its
    /// connection.
    pub max_line_bytes: usize,
    /// The most bytes of commands that have not arrived as a whole, of all connections together. It
    /// is never less than one command of the largest size. A client whose command does not get its
    /// share in time is told so and disconnected.
    pub max_input_bytes: usize,
    /// The most queues. A push that needs one more is refused.
    pub max_queues: usize,
    /// With fewer bytes free on the disk of the store, pushes are refused. What the store needs to
    /// hand out and end the jobs that it has comes from them.
    pub min_free_bytes: u64,
    /// How long the ids of jobs that are pushed by `WF PUSHB` are remembered, and in how much room.
    pub ids: IdLimits,
    /// The longest time for the handshake, and for TLS before it. Where bytes of the client lie
    /// unread at its end it begins anew, but all of it takes no more than two times this. The
    /// default is Faktory's.
    pub handshake_timeout: Duration,
    /// Is told what happens, for figures.
    pub observer: Option<Arc<dyn Observer>>,
}

impl BrokerConfig {
    /// The configuration of a broker at this address with its store in this folder: without a
    /// password, without TLS, with the default limits.
    #[must_use]
    pub fn new(bind: SocketAddr, data_dir: PathBuf) -> Self {
        Self {
            bind,
            data_dir,
            password: None,
            tls: None,
            max_connections: 2000,
            trusted: Nets::default(),
            max_line_bytes: 64 << 20,
            max_input_bytes: 256 << 20,
            max_queues: 100_000,
            min_free_bytes: 512 << 20,
            ids: IdLimits { seconds: 86_400, bytes: 1 << 30 },
            handshake_timeout: Duration::from_secs(2),
            observer: None,
        }
    }

    /// What the broker can do beyond Faktory, as its greeting says it.
    pub(crate) const fn abilities(&self) -> Abilities {
        Abilities { once: self.ids.seconds, requeue: true, many: true }
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
            .field("max_input_bytes", &self.max_input_bytes)
            .finish_non_exhaustive()
    }
}
