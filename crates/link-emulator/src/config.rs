//! The configuration of a link, and the reasons why a link can't start.

use std::io;

use crate::counters::Tolerance;
use crate::settings::Settings;

/// The configuration of a link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// From near to far.
    pub near_to_far: Settings,
    /// From far to near.
    pub far_to_near: Settings,
    /// The near side's TCP congestion control, such as `cubic` or `bbr`; the system's by default.
    /// Congestion control governs the packets that a side sends.
    pub near_congestion: Option<String>,
    /// The far side's TCP congestion control.
    pub far_congestion: Option<String>,
    /// The faults of the emulator itself that a measurement can bear.
    pub tolerance: Tolerance,
    /// The seed of chance: the same seed gives the same losses to the same packets.
    pub seed: u64,
}

impl LinkConfig {
    /// The same settings in both directions, with the system's congestion control.
    #[must_use]
    pub fn both_ways(settings: Settings) -> Self {
        Self {
            near_to_far: settings,
            far_to_near: settings,
            near_congestion: None,
            far_congestion: None,
            tolerance: Tolerance::default(),
            seed: 1,
        }
    }
}

/// The reason why a link can't start.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The system does not let us make namespaces.
    #[error("failed to make a network namespace (root, or a user namespace, is needed): {0}")]
    Namespace(#[source] io::Error),
    /// The system does not let us make a TUN device.
    #[error("failed to make a TUN device (is /dev/net/tun there, and may it be opened?): {0}")]
    Device(#[source] io::Error),
    /// The kernel does not have the congestion control.
    #[error("the kernel refuses the congestion control {name:?}: {source}; it has {available}")]
    Congestion {
        /// The congestion control that was asked for.
        name: String,
        /// The congestion controls of the kernel.
        available: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The relay can't start its threads.
    #[error("failed to start the relay: {0}")]
    Relay(#[source] io::Error),
}
