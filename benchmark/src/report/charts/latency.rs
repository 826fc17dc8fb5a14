//! How long it takes: the distribution of a scenario's latencies, a chart for each network.

use super::axis::{Axis, percentile_label, place};
use super::{Chart, Drawing, Look, Measured, Section, Series, id, legend, vias};
use crate::measure::gives;
use crate::report::numbers::count;
use crate::report::{Figure, Report};

/// Latencies that differ by less are drawn as if they differed by this factor.
const LEAST_DIFFERENCE: f64 = 1.1;

/// The charts of a scenario.
pub(super) fn of(report: &Report, scenario: &Measured<'_>) -> Vec<Chart> {
    let networks = report.networks.iter().map(|network| network.network.name.as_str());
    networks.filter_map(|network| chart(report, scenario, network)).collect()
}

fn chart(report: &Report, scenario: &Measured<'_>, network: &str) -> Option<Chart> {
    let is_shown = |figure: &&Figure| figure.scenario == scenario.name && figure.network == network;
    let figures: Vec<&Figure> = vias(report.figures.iter().filter(is_shown))
        .into_iter()
        .filter_map(|via| report.figure(network, scenario.name, via))
        .filter(|figure| !points(figure).is_empty())
        .collect();
    let samples = figures.iter().map(|figure| figure.samples()).max()?;
    let times = figures.iter().flat_map(|figure| points(figure)).map(|(_, ms)| ms);
    Some(Chart {
        id: id(&["latency", scenario.name, network]),
        section: Section::Latency,
        title: format!("{network} · {}: {}", scenario.name, scenario.title),
        legend: legend(figures.iter().map(|figure| Look::of(figure.via))),
        drawing: Drawing::Lines {
            x: Axis::percentiles(samples),
            y: Axis::logarithmic("ms", times, LEAST_DIFFERENCE)?,
            series: figures.iter().map(|figure| series(figure)).collect(),
        },
    })
}

fn series(figure: &Figure) -> Series {
    let samples = figure.samples();
    let label = |percentile: f64| {
        if percentile < 100.0 {
            percentile_label(percentile)
        } else {
            format!("slowest of {}", count(samples))
        }
    };
    Series {
        name: Look::of(figure.via).text().into(),
        look: Look::of(figure.via),
        points: points(figure).into_iter().map(|(at, ms)| (place(at, samples), ms)).collect(),
        labels: points(figure).into_iter().map(|(at, _)| label(at)).collect(),
    }
}

/// Percentiles that the number of samples gives, with their milliseconds. A single sample has no
/// distribution.
fn points(figure: &Figure) -> Vec<(f64, f64)> {
    let samples = figure.samples();
    let Some(summary) = figure.summary.as_ref().filter(|_| samples > 1) else {
        return Vec::new();
    };
    let given = summary.distribution.iter().filter(|(at, _)| gives(samples, *at));
    given.map(|(at, us)| (*at, us / 1e3)).collect()
}
