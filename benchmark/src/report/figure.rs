//! A figure: one scenario on one network by one way, with every run that was measured. The medians
//! over the runs are in `summary`, a single run in `run`.

use serde::{Deserialize, Serialize};

use super::run::Run;
use super::summary::{self, Summary};
use crate::measure::{Spread, gives};
use crate::part::order::Via;
use crate::scenario::Focus;

/// A scenario on a network by one way, with its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) network: String,
    pub(crate) scenario: String,
    pub(crate) title: String,
    pub(crate) focus: Focus,
    pub(crate) via: Via,
    /// Medians over the runs that count; none where no run counts.
    pub(crate) summary: Option<Summary>,
    pub(crate) runs: Vec<Run>,
}

impl Figure {
    /// Runs that count.
    pub(crate) fn sound_runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.is_sound())
    }

    /// Summarises the runs that count.
    pub(crate) fn summarise(&mut self) {
        let sound: Vec<&Run> = self.sound_runs().collect();
        self.summary = summary::of(&sound);
    }

    /// How long after a cut of the link jobs went through as before, where they did in all runs.
    /// Older reports have it in their timelines alone.
    pub(crate) fn resumed_seconds(&self) -> Option<f64> {
        let of_summary = self.summary.as_ref().and_then(|summary| summary.resumed_seconds);
        of_summary.or_else(|| summary::resumed(&self.sound_runs().collect::<Vec<_>>()))
    }

    /// The number of latencies in the run that has the fewest: the whole figure can tell no
    /// percentile that this run can't tell.
    pub(crate) fn samples(&self) -> u64 {
        self.sound_runs().map(|run| run.latency.count).min().unwrap_or_default()
    }

    /// A latency of the summary, where the number of samples gives its percentile.
    pub(crate) fn latency_at(&self, percentile: f64, of: fn(&Summary) -> Spread) -> Option<Spread> {
        let spread = self.summary.as_ref().map(of)?;
        (gives(self.samples(), percentile) && spread.median > 0.0).then_some(spread)
    }
}
