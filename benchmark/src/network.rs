//! The networks over which the benchmark measures.

use std::collections::BTreeMap;
use std::time::Duration;

use link_emulator::Settings;
use serde::{Deserialize, Serialize};

/// A network between the near side (clients, API, worker) and the far side (work server).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// The name on the command line and in reports.
    pub(crate) name: String,
    /// A description for people.
    pub(crate) title: String,
    pub(crate) near_to_far: Settings,
    pub(crate) far_to_near: Settings,
    /// The near side's congestion control, where the comparison is about congestion control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) near_congestion: Option<String>,
    /// Connections to the work server, where the comparison is about their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<usize>,
    /// The most jobs a second that reach the work server, where a brake limits this rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_jobs_per_second: Option<f64>,
    /// The silence after which the network forgets a flow, in seconds, where it acts as a NAT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forgets_after_seconds: Option<f64>,
    /// Whether the work server asks for a password, and the API for a key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) guarded: bool,
    /// The product's variables with which API and worker are started, beyond a scenario's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) variables: BTreeMap<String, String>,
}

impl Network {
    fn both_ways(name: &str, title: &str, settings: Settings) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            near_to_far: settings,
            far_to_near: settings,
            near_congestion: None,
            connections: None,
            server_jobs_per_second: None,
            forgets_after_seconds: None,
            guarded: false,
            variables: BTreeMap::new(),
        }
    }

    /// This network under another name: measured with a stack of its own.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// This network under another name, with this congestion control on the near side.
    pub(crate) fn with_congestion(mut self, name: &str, congestion: &str) -> Self {
        self.title = format!("{}; {congestion} on the near side", self.title);
        (self.name, self.near_congestion) = (name.into(), Some(congestion.into()));
        self
    }

    /// This network under another name, with this number of connections to the work server.
    pub(crate) fn with_connections(mut self, name: &str, connections: usize) -> Self {
        self.title = format!("{}; {connections} connections", self.title);
        (self.name, self.connections) = (name.into(), Some(connections));
        self
    }

    /// This network with a worker that gets this many seconds to end.
    pub(crate) fn with_shutdown_timeout(mut self, seconds: u64) -> Self {
        self.title = format!("{}; SHUTDOWN_TIMEOUT={seconds}s", self.title);
        self.variables.insert("SHUTDOWN_TIMEOUT".into(), format!("{seconds}s"));
        self
    }

    /// This network under another name, with a work server that takes at most this many jobs a
    /// second.
    pub(crate) fn with_slow_server(mut self, name: &str, jobs_per_second: f64) -> Self {
        self.title = format!("{}; the work server takes {jobs_per_second} jobs/s", self.title);
        (self.name, self.server_jobs_per_second) = (name.into(), Some(jobs_per_second));
        self
    }

    /// This network under another name, with a NAT in between that forgets silent flows.
    pub(crate) fn with_forgetful_nat(mut self, name: &str, after: Duration) -> Self {
        self.title = format!("{}; a NAT forgets after {after:?} of silence", self.title);
        (self.name, self.forgets_after_seconds) = (name.into(), Some(after.as_secs_f64()));
        self
    }

    /// This network with a work server that asks for a password, and an API that asks for a key
    /// and listens beyond loopback.
    pub(crate) fn guarded(mut self) -> Self {
        self.title = format!("{}; with password and keys", self.title);
        self.guarded = true;
        self
    }

    /// This network with API and worker started with these variables; the name tells them.
    pub(crate) fn with_variables<'a>(
        mut self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        for (name, value) in variables {
            self.name = format!("{} {name}={value}", self.name);
            self.title = format!("{}; {name}={value}", self.title);
            self.variables.insert(name.into(), value.into());
        }
        self
    }

    /// A network with this round trip and nothing else.
    pub(crate) fn with_round_trip(name: &str, title: &str, round_trip: Duration) -> Self {
        Self::both_ways(name, title, Settings { delay: round_trip / 2, ..Settings::default() })
    }

    /// The round trip that the settings ask for, without jitter.
    pub(crate) fn round_trip(&self) -> Duration {
        self.near_to_far.delay + self.far_to_near.delay
    }
}

/// One direction of a wireless link of 100 ms and 20 Mbit/s: about the best between two homes.
fn wireless_settings(jitter: Duration, loss: f64) -> Settings {
    Settings {
        delay: Duration::from_millis(50),
        jitter,
        reorder: false,
        loss,
        rate: Some(20_000_000),
        ..Settings::default()
    }
}

/// The wireless network without loss and jitter, to see how many bytes a job needs.
pub(crate) fn lossless(name: &str) -> Network {
    let settings = wireless_settings(Duration::ZERO, 0.0);
    Network::both_ways(name, "100 ms, 20 Mbit/s, nothing lost", settings)
}

/// No distance.
pub(crate) fn none() -> Network {
    Network::with_round_trip("none", "no added delay", Duration::ZERO)
}

fn local() -> Network {
    Network::with_round_trip("local", "1 ms: one machine room", Duration::from_millis(1))
}

/// A large LAN.
pub(crate) fn lan() -> Network {
    Network::with_round_trip("lan", "10 ms: a large LAN", Duration::from_millis(10))
}

/// A WAN.
pub(crate) fn wan() -> Network {
    Network::with_round_trip("wan", "100 ms: another continent", Duration::from_millis(100))
}

/// A wireless network: 100 ms and up to 50 ms more, one packet in a hundred lost each way.
pub(crate) fn wireless() -> Network {
    Network::both_ways(
        "wireless",
        "100 ms and up to 50 ms of jitter, 1 % loss each way, 20 Mbit/s",
        wireless_settings(Duration::from_millis(25), 0.01),
    )
}

/// All networks, from the nearest to the farthest.
pub(crate) fn all() -> Vec<Network> {
    vec![none(), local(), lan(), wan(), wireless()]
}

/// The networks with these names.
pub(crate) fn named(names: &[String]) -> anyhow::Result<Vec<Network>> {
    let all = all();
    names
        .iter()
        .map(|name| {
            let known =
                || all.iter().map(|network| network.name.as_str()).collect::<Vec<_>>().join(", ");
            all.iter().find(|network| network.name == *name).cloned().ok_or_else(|| {
                anyhow::anyhow!("--network: there is no network {name:?}; there are {}", known())
            })
        })
        .collect()
}
