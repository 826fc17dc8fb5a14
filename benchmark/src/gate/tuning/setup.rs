//! The setups of the gate: a network, and the variables with which API and worker are started.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::network::{self, Network};

/// The silence after which the NAT forgets a flow. By itself, nothing else speaks that often.
const NAT_FORGETS: Duration = Duration::from_secs(8);

/// A short read timeout: a dead link is noticed soon.
const READ_3S: (&str, &str) = ("FAKTORY_READ_TIMEOUT", "3s");
/// No circuit breaker.
const NO_BREAKER: (&str, &str) = ("FAKTORY_BREAKER_FAILURES", "0");
/// One connection, on which all requests wait.
const ONE_CONNECTION: (&str, &str) = ("FAKTORY_MAX_CONNECTIONS", "1");

/// A network together with the product's variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setup {
    base: Base,
    variables: Variables,
}

/// The network below a setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Near,
    Lan,
    Wan,
    Wireless,
    Lossless,
    Nat,
}

/// The variables that a setup changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variables {
    /// These, with their values.
    Each(&'static [(&'static str, &'static str)]),
    /// All variables of a profile, by the profile's file.
    Profile { name: &'static str, text: &'static str },
}

const fn setup(base: Base, variables: &'static [(&'static str, &'static str)]) -> Setup {
    Setup { base, variables: Variables::Each(variables) }
}

const fn profile(base: Base, name: &'static str, text: &'static str) -> Setup {
    Setup { base, variables: Variables::Profile { name, text } }
}

// The product's defaults.
pub(super) const NEAR: Setup = setup(Base::Near, &[]);
pub(super) const LAN: Setup = setup(Base::Lan, &[]);
pub(super) const WAN: Setup = setup(Base::Wan, &[]);
pub(super) const WIRELESS: Setup = setup(Base::Wireless, &[]);
pub(super) const LOSSLESS: Setup = setup(Base::Lossless, &[]);

// One or more variables changed.
pub(super) const NAT_READ_3S: Setup = setup(Base::Nat, &[READ_3S]);
pub(super) const WAN_CONNECTIONS_1: Setup = setup(Base::Wan, &[ONE_CONNECTION]);
pub(super) const WAN_CONNECTIONS_5: Setup = setup(Base::Wan, &[("FAKTORY_MAX_CONNECTIONS", "5")]);
pub(super) const WAN_CONNECTIONS_15: Setup = setup(Base::Wan, &[("FAKTORY_MAX_CONNECTIONS", "15")]);
pub(super) const WAN_CONNECTIONS_30: Setup = setup(Base::Wan, &[("FAKTORY_MAX_CONNECTIONS", "30")]);
pub(super) const WAN_CONNECTIONS_15_SHUTDOWN_60S: Setup =
    setup(Base::Wan, &[("FAKTORY_MAX_CONNECTIONS", "15"), ("SHUTDOWN_TIMEOUT", "60s")]);
pub(super) const WAN_SHUTDOWN_5S: Setup = setup(Base::Wan, &[("SHUTDOWN_TIMEOUT", "5s")]);
pub(super) const LAN_READ_3S: Setup = setup(Base::Lan, &[READ_3S]);
pub(super) const LAN_WRITE_3S: Setup = setup(Base::Lan, &[("FAKTORY_WRITE_TIMEOUT", "3s")]);
pub(super) const LAN_NO_BREAKER: Setup = setup(Base::Lan, &[READ_3S, NO_BREAKER]);
pub(super) const LAN_ONE_CONNECTION: Setup =
    setup(Base::Lan, &[READ_3S, NO_BREAKER, ONE_CONNECTION]);
pub(super) const LAN_ONE_CONNECTION_WITHIN_1S: Setup =
    setup(Base::Lan, &[READ_3S, NO_BREAKER, ONE_CONNECTION, ("FAKTORY_CONNECTION_TIMEOUT", "1s")]);
// In a cut of 5 s, the circuit opens after 3 s.
pub(super) const LAN_BREAKER_10S: Setup =
    setup(Base::Lan, &[READ_3S, ("FAKTORY_BREAKER_OPEN", "10s")]);
pub(super) const LAN_BREAKER_100MS: Setup =
    setup(Base::Lan, &[READ_3S, ("FAKTORY_BREAKER_OPEN", "100ms")]);
pub(super) const WIRELESS_CONNECTION_130MS: Setup =
    setup(Base::Wireless, &[("FAKTORY_CONNECTION_TIMEOUT", "130ms")]);
pub(super) const WIRELESS_REQUEST_250MS: Setup =
    setup(Base::Wireless, &[("API_REQUEST_TIMEOUT", "250ms")]);
pub(super) const NAT_KEEPALIVE_5S: Setup = setup(
    Base::Nat,
    &[READ_3S, ("FAKTORY_KEEPALIVE_IDLE", "5s"), ("FAKTORY_KEEPALIVE_INTERVAL", "5s")],
);
pub(super) const NAT_KEEPALIVE_1S: Setup = setup(
    Base::Nat,
    &[READ_3S, ("FAKTORY_KEEPALIVE_IDLE", "1s"), ("FAKTORY_KEEPALIVE_INTERVAL", "1s")],
);
pub(super) const NEAR_MANY_QUEUES: Setup = setup(Base::Near, &[("API_MAX_QUEUES", "1000000")]);
pub(super) const LOSSLESS_COMPRESSED: Setup =
    setup(Base::Lossless, &[("COMPRESS_MIN_BYTES", "2KiB")]);
pub(super) const NEAR_COMPRESSED: Setup = setup(Base::Near, &[("COMPRESS_MIN_BYTES", "2KiB")]);
pub(super) const WAN_LANES_4: Setup = setup(Base::Wan, &[("WORKER_MAX_FETCH_LANES", "4")]);
pub(super) const WAN_LANES_14: Setup = setup(Base::Wan, &[("WORKER_MAX_FETCH_LANES", "14")]);
pub(super) const WAN_PREFETCH_0: Setup = setup(Base::Wan, &[("WORKER_MAX_PREFETCH", "0")]);
pub(super) const WAN_PREFETCH_100: Setup = setup(Base::Wan, &[("WORKER_MAX_PREFETCH", "100")]);
pub(super) const NEAR_JOB_TIMEOUT_1S: Setup = setup(Base::Near, &[("WORKER_JOB_TIMEOUT", "1s")]);
pub(super) const WAN_POLL_10MS: Setup = setup(Base::Wan, &[("WORKER_POLL_INTERVAL_MS", "10")]);
pub(super) const WAN_POLL_2S: Setup = setup(Base::Wan, &[("WORKER_POLL_INTERVAL_MS", "2000")]);
pub(super) const NEAR_LOG_INFO: Setup = setup(Base::Near, &[("RUST_LOG", "info")]);
pub(super) const NEAR_LOG_DEBUG: Setup = setup(Base::Near, &[("RUST_LOG", "debug")]);
pub(super) const NEAR_LOG_DEBUG_JSON: Setup =
    setup(Base::Near, &[("RUST_LOG", "debug"), ("LOG_FORMAT", "json")]);

// Whole profiles.
pub(super) const WIRELESS_AS_LOCAL: Setup =
    profile(Base::Wireless, ".env.local", include_str!("../../../../.env.local"));
pub(super) const WIRELESS_AS_WIRELESS: Setup =
    profile(Base::Wireless, ".env.wireless", include_str!("../../../../.env.wireless"));

impl Setup {
    /// The network of this setup. Its name tells the changed variables.
    pub(super) fn network(&self) -> Network {
        let network = self.base.network();
        match self.variables {
            Variables::Each(variables) => network.with_variables(variables.iter().copied()),
            Variables::Profile { name, text } => Network {
                name: format!("{} {name}", network.name),
                title: format!("{}; {name}", network.title),
                variables: variables_of(text),
                ..network
            },
        }
    }
}

impl Base {
    fn network(self) -> Network {
        let ms = Duration::from_millis;
        match self {
            Self::Near => Network::with_round_trip("near", "0.1 ms", Duration::from_micros(100)),
            Self::Lan => network::lan(),
            Self::Wan => network::wan(),
            Self::Wireless => network::wireless(),
            Self::Lossless => network::lossless("lossless"),
            Self::Nat => Network::with_round_trip("nat", "10 ms", ms(10))
                .with_forgetful_nat("nat", NAT_FORGETS),
        }
    }
}

/// The variables of a profile's file.
fn variables_of(text: &str) -> BTreeMap<String, String> {
    let lines =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setups_name_is_its_network_with_the_changed_variables() {
        assert_eq!(WAN.network().name, "wan");
        assert_eq!(
            LAN_NO_BREAKER.network().name,
            "lan FAKTORY_READ_TIMEOUT=3s FAKTORY_BREAKER_FAILURES=0"
        );
        assert_eq!(WIRELESS_AS_LOCAL.network().name, "wireless .env.local");
    }

    #[test]
    fn a_profiles_lines_without_comments_are_its_variables() {
        let variables = variables_of("# a comment with A=1\n\nB=2\nC=3=4\n");
        let expected = [("B", "2"), ("C", "3=4")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(variables, BTreeMap::from(expected));
    }
}
