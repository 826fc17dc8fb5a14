//! The parameters that a user can choose for all scenarios.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::Mix;

/// The parameters of all scenarios.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    /// The warm-up before the measured time.
    #[serde(rename = "warm_up_seconds", with = "seconds")]
    pub(crate) warm_up: Duration,
    /// The measured time, in scenarios that last a time.
    #[serde(rename = "duration_seconds", with = "seconds")]
    pub(crate) duration: Duration,
    /// The longest measured time, in scenarios that post a number of jobs.
    #[serde(rename = "at_most_seconds", with = "seconds")]
    pub(crate) at_most: Duration,
    /// The number of repetitions: each goes through all measurements.
    pub(crate) repetitions: usize,
    /// The number of clients of the concurrent scenarios.
    pub(crate) clients: usize,
    /// The number of clients of the sustained scenario.
    pub(crate) sustained_clients: usize,
    /// Requests a second of the open loop.
    pub(crate) rate: f64,
    /// Jobs a second posted in the end-to-end scenario.
    pub(crate) end_to_end_rate: f64,
    /// The number of connections to the work server: of the API, of the link, of the baseline's
    /// clients, and of the worker.
    pub(crate) connections: usize,
    /// The factor for lengths and numbers of jobs: below 1 for a run that measures nothing.
    pub(crate) scale: f64,
    /// The jobs that lie in the queue of the gate of depth, in no other run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queued: Option<u64>,
}

/// Durations as seconds with fractions.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            warm_up: Duration::from_millis(500),
            duration: Duration::from_secs(2),
            at_most: Duration::from_secs(10),
            repetitions: 3,
            clients: 100,
            sustained_clients: 64,
            rate: 500.0,
            end_to_end_rate: 20.0,
            connections: 15,
            scale: 1.0,
            queued: None,
        }
    }
}

impl Parameters {
    fn scaled(&self, time: Duration) -> Duration {
        time.mul_f64(self.scale)
    }

    pub(super) fn scaled_count(&self, count: u64) -> u64 {
        ((count as f64 * self.scale) as u64).max(1)
    }

    /// The lengths of a mix's jobs, in turn.
    pub(crate) fn takes(&self, mix: Mix) -> Vec<Duration> {
        match mix {
            Mix::All(time) => vec![self.scaled(time)],
            Mix::SomeLong => {
                let mut takes = vec![self.scaled(Duration::from_millis(10)); 20];
                if let Some(last) = takes.last_mut() {
                    *last = self.scaled(Duration::from_secs(1));
                }
                takes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_has_one_long_job_in_twenty_and_all_times_scale() {
        let parameters = Parameters { scale: 0.1, ..Parameters::default() };
        let takes = parameters.takes(Mix::SomeLong);
        assert_eq!(
            (takes.len(), takes[0], takes[19]),
            (20, Duration::from_millis(1), Duration::from_millis(100))
        );
    }
}
