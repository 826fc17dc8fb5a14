//! What lies between the near side and the far side: the emulated link, the delaying proxy where
//! there are no namespaces, or nothing that the benchmark made.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context;
use link_emulator::{
    CongestionControl, DelayProxy, Direction, DirectionCounters, Link, LinkConfig, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// The work server's port on the far side; nobody else is there.
const FAR_PORT: u16 = 7419;
/// Connections made to see how long the round trip is.
const PINGS: usize = 5;
/// The round trip of this machine's loopback, roughly.
const LEAST: Duration = Duration::from_micros(50);

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// With clients, API and worker.
    Near,
    /// With the work server.
    Far,
}

/// How distance is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum Means {
    /// Two network namespaces and a relay of IP packets.
    Namespaces {
        /// Whether the relay had real-time priority.
        realtime: bool,
    },
    /// A TCP proxy that delays bytes.
    Proxy {
        /// Why there were no namespaces.
        because: String,
    },
    /// Against what runs already: the network is what it is.
    Given,
}

/// What was asked for besides the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Congestion {
    pub(crate) near: Option<String>,
    pub(crate) far: Option<String>,
}

/// The distance of one stack.
pub(crate) enum Distance {
    Namespaces(Box<Link>),
    Proxy { network: Box<Network>, runtime: tokio::runtime::Runtime, proxy: Option<DelayProxy> },
    Given,
}

impl Distance {
    /// Makes the distance; by proxy, where `proxy_because` says why.
    pub(crate) fn make(
        network: &Network,
        congestion: &Congestion,
        seed: u64,
        proxy_because: Option<&str>,
    ) -> anyhow::Result<Self> {
        if proxy_because.is_some() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            return Ok(Self::Proxy { network: Box::new(network.clone()), runtime, proxy: None });
        }
        let link = Link::start(LinkConfig {
            near_to_far: network.near_to_far,
            far_to_near: network.far_to_near,
            near_congestion: congestion.near.clone(),
            far_congestion: congestion.far.clone(),
            seed,
            // The tolerance follows the delay.
            ..LinkConfig::both_ways(network.near_to_far)
        })?;
        Ok(Self::Namespaces(Box::new(link)))
    }

    /// Starts a process on one side.
    pub(crate) fn spawn(&self, side: Side, mut command: Command) -> std::io::Result<Child> {
        match (self, side) {
            (Self::Namespaces(link), Side::Near) => link.near().spawn(command),
            (Self::Namespaces(link), Side::Far) => link.far().spawn(command),
            (Self::Proxy { .. } | Self::Given, _) => command.spawn(),
        }
    }

    /// Where a work server is to listen, as the far side sees it.
    pub(crate) fn far_bind(&self) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Namespaces(link) => Ok(SocketAddr::from((link.far_address(), FAR_PORT))),
            Self::Proxy { .. } | Self::Given => {
                let listener = std::net::TcpListener::bind("127.0.0.1:0")
                    .context("failed to find a free port")?;
                Ok(listener.local_addr()?)
            }
        }
    }

    /// Where the near side reaches what listens at `far`.
    pub(crate) fn seen_from_near(&mut self, far: SocketAddr) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Namespaces(_) | Self::Given => Ok(far),
            Self::Proxy { network, runtime, proxy } => {
                let started = runtime.block_on(DelayProxy::start(
                    far,
                    network.near_to_far,
                    network.far_to_near,
                ))?;
                let address = started.address();
                *proxy = Some(started);
                Ok(address)
            }
        }
    }

    /// The round trip to `server` as TCP's handshake sees it, the median of a few; what was asked
    /// for, where a proxy hides it.
    pub(crate) fn round_trip(&self, server: SocketAddr) -> Option<Duration> {
        let connect = || {
            let begin = Instant::now();
            std::net::TcpStream::connect_timeout(&server, Duration::from_secs(10))
                .ok()
                .map(|_| begin.elapsed())
        };
        let mut times: Vec<Duration> = match self {
            Self::Namespaces(link) => {
                link.near().run(|| (0..PINGS).filter_map(|_| connect()).collect()).ok()?
            }
            // Not 0: it stands on a logarithmic axis.
            Self::Proxy { network, .. } => return Some(network.round_trip().max(LEAST)),
            Self::Given => (0..PINGS).filter_map(|_| connect()).collect(),
        };
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// How the distance is made.
    pub(crate) fn means(&self, proxy_because: Option<&str>) -> Means {
        match self {
            Self::Namespaces(link) => Means::Namespaces { realtime: link.is_realtime() },
            Self::Proxy { .. } => {
                Means::Proxy { because: proxy_because.unwrap_or_default().to_owned() }
            }
            Self::Given => Means::Given,
        }
    }

    /// What the kernel uses at each end.
    pub(crate) fn congestion(&self) -> Option<CongestionControl> {
        match self {
            Self::Namespaces(link) => Some(link.congestion_control().clone()),
            Self::Proxy { .. } | Self::Given => None,
        }
    }

    /// Drops everything between the two sides, until [`Distance::restore`]. False where the
    /// benchmark did not make the link of packets.
    pub(crate) fn cut(&self) -> bool {
        match self {
            Self::Namespaces(link) => {
                link.cut();
                true
            }
            Self::Proxy { .. } | Self::Given => false,
        }
    }

    /// Ends a cut.
    pub(crate) fn restore(&self) {
        if let Self::Namespaces(link) = self {
            link.restore();
        }
    }

    /// Has the link forget silent flows, as a NAT does.
    pub(crate) fn forget_idle_flows(&self, idle: Option<Duration>) {
        if let Self::Namespaces(link) = self {
            link.forget_idle_flows(idle);
        }
    }

    /// Begins to watch the emulator for one measurement.
    pub(crate) fn watch(&self) {
        if let Self::Namespaces(link) = self {
            link.reset_counters();
        }
    }

    /// What the emulator did since then, and whether that was what was asked.
    pub(crate) fn watched(&self) -> Option<Watched> {
        match self {
            Self::Namespaces(link) => Some(Watched {
                near_to_far: link.counters(Direction::NearToFar),
                far_to_near: link.counters(Direction::FarToNear),
                verdict: link.verdict(),
            }),
            Self::Proxy { .. } | Self::Given => None,
        }
    }
}

/// What the emulator did during one measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) near_to_far: DirectionCounters,
    pub(crate) far_to_near: DirectionCounters,
    pub(crate) verdict: Verdict,
}
