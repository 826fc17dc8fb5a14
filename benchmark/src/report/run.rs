//! A run: a single measurement of a figure, with all that was counted and seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::depth::{Beside, Depth};
use super::timeline::Timeline;
use crate::chaos::Chaos;
use crate::distance::Watched;
use crate::measure::Latency;
use crate::part::order::{Probed, Refused};

/// A single measurement of a figure.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) repetition: usize,
    /// Jobs that count.
    pub(crate) jobs: u64,
    pub(crate) seconds: f64,
    pub(crate) jobs_per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) processor_us_per_job: BTreeMap<String, f64>,
    /// Resident memory at the end, in bytes.
    pub(crate) resident_bytes: BTreeMap<String, u64>,
    pub(crate) handler_share: Option<f64>,
    /// The most jobs that the work server had reserved at any time, where that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved: Option<u64>,
    /// The most jobs that the worker had fetched and not finished at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<u64>,
    /// Jobs that workers which were told to end had fetched and gave back by a push, which is due
    /// later. Those that were given back by one command lie in their queue, and are not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) given_back: Option<u64>,
    /// What became of jobs while workers came and went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chaos: Option<Chaos>,
    /// What happened when, where the link was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeline: Option<Timeline>,
    /// Of all jobs, those that the worker with the fewest has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) least_share: Option<f64>,
    /// From the start of the API's process until it was ready, in microseconds, the median where it
    /// was started several times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ready_us: Option<f64>,
    /// Requests of which nothing was stored, where that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Refused>,
    /// What the API's memory grew by, in bytes, at the most; over a stream from its 10,000th job
    /// on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grew_bytes: Option<f64>,
    /// The largest resident memory of each process so far, in bytes, where that is looked at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) peak_bytes: BTreeMap<String, u64>,
    /// The files of the work server, in bytes, where that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk_bytes: Option<u64>,
    /// What the work server used as it was filled, where that is looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) depths: Vec<Depth>,
    /// What happened in the work server meanwhile, where something was made to happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) beside: Option<Beside>,
    /// What a client saw that connected anew each second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) probed: Option<Probed>,
    pub(crate) cut_short: bool,
    pub(crate) generator_late_p99_us: Option<u64>,
    pub(crate) counts: Counts,
    /// How long the run took with its preparation and the search for its jobs, in seconds.
    pub(crate) took_seconds: f64,
    /// The share of the machine's processor time that other machines took.
    pub(crate) stolen_share: f64,
    pub(crate) link: Option<Watched>,
    /// Jobs lost or doubled, errors: the whole report counts as failed.
    pub(crate) failures: Vec<String>,
    /// Why the run does not count and was measured again: the emulator was not sound.
    pub(crate) void: Vec<String>,
}

/// What became of all jobs of a run, warm-up included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Posted and answered as stored.
    pub(crate) stored: u64,
    /// Posted without an answer that tells.
    pub(crate) unknown: u64,
    /// Posted and not stored.
    pub(crate) not_stored: u64,
    /// Found in the work server, or run.
    pub(crate) arrived: u64,
    /// Different jobs among the arrived ones; none where only the number of jobs was compared.
    pub(crate) distinct: Option<u64>,
}

impl Run {
    /// Bytes from the near side to the far side for each job that arrived, headers included.
    pub(super) fn sent_bytes_per_job(&self) -> Option<f64> {
        let counters = self.link.as_ref()?.near_to_far;
        Some(counters.bytes as f64 / self.counts.arrived.max(1) as f64)
    }

    /// Whether the run counts.
    pub(crate) const fn is_sound(&self) -> bool {
        self.void.is_empty() && self.failures.is_empty()
    }
}
