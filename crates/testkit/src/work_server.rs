//! A work server for a test: the broker in this process, or a real Faktory as a process of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use faktory_broker::{Broker, BrokerConfig};
use faktory_link::LinkConfig;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::certificates::Authority;
use crate::process::eventually;
use crate::wire_client::WireClient;

/// The kind of a work server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkServerKind {
    /// The embedded broker.
    Broker,
    /// The Faktory that `FAKTORY_BIN` names.
    Faktory,
}

impl WorkServerKind {
    /// The broker, and Faktory where `FAKTORY_BIN` names one.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut kinds = vec![Self::Broker];
        kinds.extend(faktory_bin().map(|_| Self::Faktory));
        kinds
    }
}

fn faktory_bin() -> Option<PathBuf> {
    std::env::var_os("FAKTORY_BIN").filter(|path| !path.is_empty()).map(Into::into)
}

/// A running work server. Its data folder is removed when this value is dropped.
pub struct WorkServer {
    kind: WorkServerKind,
    password: Option<String>,
    /// The authority that signs the server's certificate, where the server speaks TLS.
    authority: Option<Authority>,
    folder: TempDir,
    address: SocketAddr,
    running: Option<Running>,
}

enum Running {
    Broker(Broker),
    Faktory(Child),
}

impl WorkServer {
    /// Starts a work server without a password.
    pub async fn start(kind: WorkServerKind) -> Self {
        Self::start_with(kind, None).await
    }

    /// Starts the broker.
    pub async fn broker() -> Self {
        Self::start(WorkServerKind::Broker).await
    }

    /// Starts the broker with TLS.
    pub async fn broker_with_tls() -> Self {
        Self::start_as(WorkServerKind::Broker, None, Some(Authority::new())).await
    }

    /// Starts a work server with this password, or without one.
    pub async fn start_with(kind: WorkServerKind, password: Option<&str>) -> Self {
        Self::start_as(kind, password, None).await
    }

    async fn start_as(
        kind: WorkServerKind,
        password: Option<&str>,
        authority: Option<Authority>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self {
            kind,
            password: password.map(Into::into),
            authority,
            folder,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            running: None,
        };
        server.run().await;
        server
    }

    /// The address at which the server listens; the same after a restart.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A link configuration for this server.
    #[must_use]
    pub fn link(&self) -> LinkConfig {
        let tls = self.authority.as_ref().map(|authority| authority.link_tls("127.0.0.1"));
        LinkConfig {
            password: self.password.clone(),
            tls,
            ..LinkConfig::new(self.address.ip().to_string(), self.address.port())
        }
    }

    /// A client that has said HELLO without a worker id.
    pub async fn client(&self) -> WireClient {
        match &self.authority {
            None => WireClient::connect(self.address).await,
            Some(authority) => WireClient::connect_tls(self.address, authority).await,
        }
    }

    /// Stops the server in order, and starts it again with the same data and address.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// Stops the server in order.
    pub async fn stop(&mut self) {
        match self.running.take() {
            Some(Running::Broker(broker)) => broker.stop().await.unwrap(),
            Some(Running::Faktory(mut child)) => {
                let id = child.id().unwrap().to_string();
                Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
                child.wait().await.unwrap();
            }
            None => {}
        }
    }

    /// Starts the server again after [`WorkServer::stop`].
    pub async fn run(&mut self) {
        let running = match self.kind {
            WorkServerKind::Broker => {
                let mut config = BrokerConfig::new(self.address, self.folder.path().to_owned());
                config.password = self.password.clone();
                config.tls = self
                    .authority
                    .as_ref()
                    .map(|authority| authority.server_tls("broker").config(&[]));
                let broker = Broker::start(config).await.unwrap();
                self.address = broker.address();
                Running::Broker(broker)
            }
            WorkServerKind::Faktory => {
                if self.address.port() == 0 {
                    self.address = free_address();
                }
                Running::Faktory(self.spawn_faktory())
            }
        };
        self.running = Some(running);
        let address = self.address;
        eventually("the work server listens", Duration::from_secs(20), || async move {
            TcpStream::connect(address).await.is_ok().then_some(())
        })
        .await;
    }

    fn spawn_faktory(&self) -> Child {
        let (data, configuration) =
            (self.folder.path().join("data"), self.folder.path().join("config"));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::create_dir_all(&configuration).unwrap();
        let mut command = Command::new(faktory_bin().expect("FAKTORY_BIN names a Faktory"));
        command
            .args(["-e", "development", "-w", ":0", "-b", &self.address.to_string()])
            .arg("-d")
            .arg(data)
            .arg("-c")
            .arg(configuration)
            .env_remove("FAKTORY_PASSWORD")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true);
        if let Some(password) = &self.password {
            command.env("FAKTORY_PASSWORD", password);
        }
        command.spawn().expect("FAKTORY_BIN can be run")
    }
}

/// Ends Faktory by SIGTERM: Faktory then ends its Redis too. A killed Faktory would leave its Redis
/// behind.
impl Drop for WorkServer {
    fn drop(&mut self) {
        let Some(Running::Faktory(child)) = &mut self.running else { return };
        let Some(id) = child.id() else { return };
        let _ = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
        for _ in 0..200 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A free address.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
