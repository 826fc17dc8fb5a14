//! The address of a work server, in the forms that our link and the faktory crate take.

use std::fmt;
use std::net::SocketAddr;

use faktory_link::LinkConfig;
use serde::{Deserialize, Serialize};

/// A work server as a part reaches it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Server {
    /// The work server at an address, without a password.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), password: None }
    }

    /// A link to this server with the product's defaults.
    pub(crate) fn link(&self, connections: usize) -> LinkConfig {
        LinkConfig { max_connections: connections, ..self.reached_with(LinkConfig::new("", 0)) }
    }

    /// An existing configuration of a link, with this server's address and password.
    pub(crate) fn reached_with(&self, link: LinkConfig) -> LinkConfig {
        LinkConfig {
            host: self.host.clone(),
            port: self.port,
            password: self.password.clone(),
            ..link
        }
    }

    /// A link to this server without a circuit breaker: no part probes, so an open circuit would
    /// stay open.
    pub(crate) fn link_without_breaker(&self, connections: usize) -> LinkConfig {
        LinkConfig { breaker_failures: 0, ..self.link(connections) }
    }

    /// The server's URL, for the faktory crate.
    pub(crate) fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("tcp://:{password}@{}:{}", self.host, self.port),
            None => format!("tcp://{}:{}", self.host, self.port),
        }
    }
}
