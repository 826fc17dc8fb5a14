//! What one direction of a link does to packets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the near side to the far side.
    NearToFar,
    /// From the far side to the near side.
    FarToNear,
}

/// What one direction does to packets. The default does nothing to them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Added to every packet. A round trip takes both directions' delays.
    #[serde(rename = "delay_ms", with = "milliseconds")]
    pub delay: Duration,
    /// Up to so much more, evenly distributed.
    #[serde(rename = "jitter_ms", with = "milliseconds")]
    pub jitter: Duration,
    /// Whether packets may overtake each other because of jitter; as a rule networks keep the
    /// order.
    pub reorder: bool,
    /// The share of packets lost, 0 to 1, each by itself.
    pub loss: f64,
    /// Bits per second of IP packets, where limited.
    #[serde(rename = "rate_bits_per_second")]
    pub rate: Option<u64>,
    /// Packets that wait for their turn at that rate at the most; those beyond are dropped, as a
    /// router's queue does.
    #[serde(rename = "queue_packets")]
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            reorder: false,
            loss: 0.0,
            rate: None,
            queue: 1000,
        }
    }
}

/// Durations in documents: milliseconds, with fractions.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64() * 1e3)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)? / 1e3)
            .map_err(de::Error::custom)
    }
}
