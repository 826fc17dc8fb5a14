//! The networks that are measured over.

use std::collections::BTreeMap;
use std::time::Duration;

use link_emulator::Settings;
use serde::{Deserialize, Serialize};

/// A network between the near side (clients, API, worker) and the far side (work server).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Its name on the command line and in reports.
    pub(crate) name: String,
    /// What it is, for people.
    pub(crate) title: String,
    pub(crate) near_to_far: Settings,
    pub(crate) far_to_near: Settings,
    /// The near side's congestion control, where it is part of what is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) near_congestion: Option<String>,
    /// Connections to the work server, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<usize>,
    /// Jobs a second that the work server is held back to, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_jobs_per_second: Option<f64>,
    /// Silence after which a flow is forgotten, in seconds, as a NAT does, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forgets_after_seconds: Option<f64>,
    /// The product's variables that API and worker are started with, beyond what a scenario needs.
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
            variables: BTreeMap::new(),
        }
    }

    /// The same under another name: a stack of its own.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The same under another name with this congestion control on the near side.
    pub(crate) fn with_congestion(mut self, name: &str, congestion: &str) -> Self {
        self.title = format!("{}; {congestion} on the near side", self.title);
        (self.name, self.near_congestion) = (name.into(), Some(congestion.into()));
        self
    }

    /// The same under another name with so many connections.
    pub(crate) fn with_connections(mut self, name: &str, connections: usize) -> Self {
        self.title = format!("{}; {connections} connections", self.title);
        (self.name, self.connections) = (name.into(), Some(connections));
        self
    }

    /// The same with a worker that has so many seconds to end.
    pub(crate) fn with_shutdown_timeout(mut self, seconds: u64) -> Self {
        self.title = format!("{}; SHUTDOWN_TIMEOUT={seconds}s", self.title);
        self.variables.insert("SHUTDOWN_TIMEOUT".into(), format!("{seconds}s"));
        self
    }

    /// The same under another name with a work server that takes no more than so many jobs a
    /// second.
    pub(crate) fn with_slow_server(mut self, name: &str, jobs_per_second: f64) -> Self {
        self.title = format!("{}; the work server takes {jobs_per_second} jobs/s", self.title);
        (self.name, self.server_jobs_per_second) = (name.into(), Some(jobs_per_second));
        self
    }

    /// The same under another name, with something in between that forgets silent flows.
    pub(crate) fn with_forgetful_nat(mut self, name: &str, after: Duration) -> Self {
        self.title = format!("{}; a NAT forgets after {after:?} of silence", self.title);
        (self.name, self.forgets_after_seconds) = (name.into(), Some(after.as_secs_f64()));
        self
    }

    /// The same with API and worker that are started with these variables, which its name tells.
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

    /// The round trip asked for, without jitter.
    pub(crate) fn round_trip(&self) -> Duration {
        self.near_to_far.delay + self.far_to_near.delay
    }
}

/// A wireless link of this round trip's length: the best that is found between two homes.
pub(crate) fn wireless(jitter: Duration, loss: f64) -> Settings {
    Settings {
        delay: Duration::from_millis(50),
        jitter,
        reorder: false,
        loss,
        rate: Some(20_000_000),
        ..Settings::default()
    }
}

/// Wireless without its losses and jitter, to see what a job takes on the way.
pub(crate) fn lossless(name: &str) -> Network {
    Network::both_ways(name, "100 ms, 20 Mbit/s, nothing lost", wireless(Duration::ZERO, 0.0))
}

/// All networks, from the nearest to the farthest.
pub(crate) fn all() -> Vec<Network> {
    let ms = Duration::from_millis;
    // 100 ms and up to 50 ms more, a packet in a hundred lost each way.
    let wireless = wireless(ms(25), 0.01);
    vec![
        Network::with_round_trip("none", "no added delay", Duration::ZERO),
        Network::with_round_trip("local", "1 ms: one machine room", ms(1)),
        Network::with_round_trip("lan", "10 ms: a large LAN", ms(10)),
        Network::with_round_trip("wan", "100 ms: another continent", ms(100)),
        Network::both_ways(
            "wireless",
            "100 ms and up to 50 ms of jitter, 1 % loss each way, 20 Mbit/s",
            wireless,
        ),
    ]
}

/// The networks of these names.
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
