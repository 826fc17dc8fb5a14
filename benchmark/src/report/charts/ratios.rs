//! Ours against the faktory crate: a chart for each network, a bar for each scenario and way.

use super::{Bar, Chart, Drawing, Look, Section, id, legend};
use crate::report::baseline::{self, Comparison};
use crate::report::numbers::times;
use crate::report::{Figure, Report};

/// The charts, whose bars all have the same logarithmic scale, so that they can be compared.
pub(super) fn of(report: &Report) -> Vec<Chart> {
    let compared: Vec<(&Figure, Comparison)> = report
        .figures
        .iter()
        .filter_map(|figure| Some((figure, baseline::compare(report, figure)?)))
        .collect();
    let ratios = || compared.iter().map(|(_, comparison)| comparison.ratio);
    let low = ratios().fold(1.0, f64::min);
    let high = ratios().fold(1.0, f64::max);
    let networks = report.networks.iter().map(|network| &network.network);
    let chart = |name: &str, title: &str| {
        let of_network = compared.iter().filter(|(figure, _)| figure.network == name);
        let bars: Vec<Bar> =
            of_network.map(|(figure, comparison)| bar(figure, *comparison, low, high)).collect();
        (!bars.is_empty()).then(|| Chart {
            id: id(&["ratios", name]),
            section: Section::Ratios,
            title: format!("{name}: {title}"),
            legend: legend([Look::Ahead, Look::Level, Look::Behind]),
            drawing: Drawing::Bars { bars },
        })
    };
    networks.filter_map(|network| chart(&network.name, &network.title)).collect()
}

/// A bar from 1 to the ratio.
fn bar(figure: &Figure, comparison: Comparison, low: f64, high: f64) -> Bar {
    let share = |ratio: f64| share(ratio, low, high);
    let (one, end) = (share(1.0), share(comparison.ratio));
    Bar {
        name: format!("{} · {}", figure.scenario, figure.via.name()),
        look: Look::standing(comparison.standing),
        value: comparison.ratio,
        text: times(comparison.ratio),
        from: one.min(end),
        to: one.max(end),
    }
}

/// The place of a ratio between the least and the greatest, logarithmic.
fn share(ratio: f64, low: f64, high: f64) -> f64 {
    if high > low { (ratio / low).ln() / (high / low).ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ten_times_more_and_ten_times_less_are_as_far_from_one() {
        let share = |ratio| super::share(ratio, 0.1, 10.0);
        for (ratio, place) in [(0.1, 0.0), (1.0, 0.5), (10.0, 1.0)] {
            assert!((share(ratio) - place).abs() < 1e-9, "{ratio}");
        }
        assert!(super::share(1.0, 1.0, 1.0).abs() < 1e-9);
    }
}
