//! The settings of one direction of a link.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The direction of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the near side to the far side.
    NearToFar,
    /// From the far side to the near side.
    FarToNear,
}

/// The treatment of packets in one direction. The default leaves packets as they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The delay of every packet. A round trip takes the delays of both directions.
    #[serde(rename = "delay_ms", with = "milliseconds")]
    pub delay: Duration,
    /// The most additional delay, evenly distributed from zero.
    #[serde(rename = "jitter_ms", with = "milliseconds")]
    pub jitter: Duration,
    /// Whether packets may overtake each other because of jitter; most networks keep the order.
    pub reorder: bool,
    /// The share of lost packets, 0 to 1; each loss is independent of the others.
    pub loss: f64,
    /// The most bits of IP packets a second; `None` for no limit.
    #[serde(rename = "rate_bits_per_second")]
    pub rate: Option<u64>,
    /// The most packets that wait for their turn at the limited rate. A packet beyond is dropped,
    /// as a full router's queue does.
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

/// Durations as milliseconds with fractions.
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
