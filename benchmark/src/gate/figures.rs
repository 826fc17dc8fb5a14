//! The figures of a report, as gates read them.

use crate::measure::Spread;
use crate::part::order::Via;
use crate::report::{Report, Run, Summary};

/// A figure by network, scenario and way.
pub(super) type At<'a> = (&'a str, &'a str, Via);

/// The figures of one report.
#[derive(Clone, Copy)]
pub(super) struct Figures<'a>(pub(super) &'a Report);

impl<'a> Figures<'a> {
    /// The medians of a figure; `None` where it was not measured.
    pub(super) fn summary(self, (network, scenario, via): At<'_>) -> Option<&'a Summary> {
        self.0.figure(network, scenario, via)?.summary.as_ref()
    }

    /// Jobs a second: the median.
    pub(super) fn rate(self, at: At<'_>) -> Option<f64> {
        self.summary(at).map(|summary| summary.jobs_per_second.median)
    }

    /// The runs of a figure that count.
    pub(super) fn runs(self, (network, scenario, via): At<'_>) -> impl Iterator<Item = &'a Run> {
        let figure = self.0.figure(network, scenario, via);
        figure.into_iter().flat_map(|figure| figure.runs.iter()).filter(|run| run.is_sound())
    }

    /// The measured round trip of a network, in milliseconds.
    pub(super) fn round_trip_ms(self, network: &str) -> Option<f64> {
        let mut networks = self.0.networks.iter();
        networks.find(|one| one.network.name == network).map(|network| network.round_trip_ms)
    }

    /// The median of the ratios of one figure to another, where runs of the same repetition are
    /// compared: a slow moment of the machine then weighs on both.
    pub(super) fn paired(
        self,
        one: At<'_>,
        other: At<'_>,
        ratio: impl Fn(&Run, &Run) -> f64,
    ) -> Option<f64> {
        let of = |run: &Run| {
            let same = |other: &&Run| other.repetition == run.repetition;
            self.runs(other).find(same).map(|other| ratio(run, other))
        };
        Spread::of(self.runs(one).filter_map(of)).map(|spread| spread.median)
    }
}

/// One value divided by another, where both were measured.
pub(super) fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}
