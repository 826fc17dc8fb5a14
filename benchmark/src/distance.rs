//! The distance between the near side and the far side: an emulated link, a delaying proxy on
//! machines without namespaces, or a given network.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context;
use link_emulator::{
    CongestionControl, DelayProxy, Direction, DirectionCounters, Link, LinkConfig, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// The work server's port on the far side, where no other server listens.
const FAR_PORT: u16 = 7419;
/// The number of connections that measure the round trip.
const PINGS: usize = 5;
/// The rough round trip of this machine's loopback.
const LEAST: Duration = Duration::from_micros(50);

/// The side on which a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The side of clients, API and worker.
    Near,
    /// The side of the work server.
    Far,
}

/// The means by which the distance is made.
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
        /// The reason why there were no namespaces.
        because: String,
    },
    /// None: the network to servers that run already is measured as it is.
    Given,
}

/// The congestion control that the user chose for each side.
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
    /// Makes the distance; with a proxy, where `proxy_because` gives a reason.
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

    /// The address at which a work server is to listen, as the far side sees it.
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

    /// The near side's address that is not loopback, where there is one.
    pub(crate) fn near_host(&self) -> String {
        match self {
            Self::Namespaces(link) => link.near_address().to_string(),
            Self::Proxy { .. } | Self::Given => "127.0.0.1".to_owned(),
        }
    }

    /// The address at which the near side reaches a server that listens at `far`.
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

    /// The round trip to `server`, as the median of a few TCP handshakes. With a proxy, which hides
    /// handshakes, the configured round trip.
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
            // Not 0: charts have a logarithmic axis.
            Self::Proxy { network, .. } => return Some(network.round_trip().max(LEAST)),
            Self::Given => (0..PINGS).filter_map(|_| connect()).collect(),
        };
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// The means by which the distance is made.
    pub(crate) fn means(&self, proxy_because: Option<&str>) -> Means {
        match self {
            Self::Namespaces(link) => Means::Namespaces { realtime: link.is_realtime() },
            Self::Proxy { .. } => {
                Means::Proxy { because: proxy_because.unwrap_or_default().to_owned() }
            }
            Self::Given => Means::Given,
        }
    }

    /// The congestion control that the kernel uses at each end.
    pub(crate) fn congestion(&self) -> Option<CongestionControl> {
        match self {
            Self::Namespaces(link) => Some(link.congestion_control().clone()),
            Self::Proxy { .. } | Self::Given => None,
        }
    }

    /// Drops all packets between the two sides, until [`Distance::restore`]. False where there is
    /// no emulated link.
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

    /// Makes the link forget silent flows, as a NAT does.
    pub(crate) fn forget_idle_flows(&self, idle: Option<Duration>) {
        if let Self::Namespaces(link) = self {
            link.forget_idle_flows(idle);
        }
    }

    /// Resets the emulator's counters for one measurement.
    pub(crate) fn watch(&self) {
        if let Self::Namespaces(link) = self {
            link.reset_counters();
        }
    }

    /// The emulator's counters since then, and whether the emulator was sound.
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

/// The emulator's counters during one measurement, and its verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) near_to_far: DirectionCounters,
    pub(crate) far_to_near: DirectionCounters,
    pub(crate) verdict: Verdict,
}
