//! Which charts the page shows: data only; the page draws them.

use serde::{Deserialize, Serialize};

use super::table::ratio;
use super::{Figure, MeasuredNetwork, Report};
use crate::part::order::Via;
use crate::scenario::Focus;

/// One chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chart {
    pub(crate) id: String,
    /// The part of the page.
    pub(crate) section: Section,
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) axes: Axes,
    pub(crate) series: Vec<Series>,
}

/// The parts of the page, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Section {
    Ratios,
    Throughput,
    Latency,
    Timelines,
}

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Axes {
    /// Both logarithmic.
    LogLog,
    /// Percentiles, the last nines spread out, against a logarithmic axis.
    Percentiles,
    /// Seconds against a rate, both as they are.
    Time,
    /// A bar for each name in `names`, logarithmic; the x of a point is the name's place.
    Bars { names: u32 },
}

/// One line, or the bars of one colour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) is_baseline: bool,
    /// Labels of the points, where they are bars.
    pub(crate) labels: Vec<String>,
    pub(crate) points: Vec<(f64, f64)>,
}

fn label(via: Via) -> &'static str {
    match via {
        Via::Http => "Work Factory, over HTTP",
        Via::Link => "Work Factory, bare link",
        Via::Worker => "Work Factory, worker",
        Via::Crate => "faktory crate",
    }
}

/// All charts of a report.
pub(crate) fn of(report: &Report) -> Vec<Chart> {
    let mut charts = Vec::new();
    charts.extend(ratios(report));
    for (scenario, title, focus) in scenarios(report) {
        if focus != Focus::Latency {
            charts.extend(throughput(report, &scenario, &title));
        }
    }
    for (scenario, title, focus) in scenarios(report) {
        if focus == Focus::Latency {
            for network in &report.networks {
                charts.extend(latency(report, &scenario, &title, &network.network.name));
            }
        }
    }
    charts.extend(report.figures.iter().filter_map(timeline));
    charts
}

/// Jobs a second before, during and after a cut of the link.
fn timeline(figure: &Figure) -> Option<Chart> {
    let timeline = figure.runs.iter().find(|run| run.is_sound())?.timeline.as_ref()?;
    let points = timeline
        .jobs_per_second
        .iter()
        .enumerate()
        .map(|(step, rate)| (step as f64 * timeline.step_seconds, *rate));
    let most = timeline.jobs_per_second.iter().copied().fold(0.0, f64::max);
    let (from, to) = timeline.cut;
    let line = |name: &str, points: Vec<(f64, f64)>, is_baseline| Series {
        name: name.into(),
        is_baseline,
        labels: Vec::new(),
        points,
    };
    Some(Chart {
        id: format!("timeline-{}-{}", figure.scenario, figure.network),
        section: Section::Timelines,
        title: format!("{} · {}: {}", figure.network, figure.scenario, figure.title),
        x_label: "seconds".into(),
        y_label: "jobs a second".into(),
        axes: Axes::Time,
        series: vec![
            line(label(figure.via), points.collect(), false),
            line("the link is cut", vec![(from, 0.0), (from, most), (to, most), (to, 0.0)], true),
        ],
    })
}

/// Each scenario once, in the order measured.
fn scenarios(report: &Report) -> Vec<(String, String, Focus)> {
    let mut scenarios: Vec<(String, String, Focus)> = Vec::new();
    for figure in &report.figures {
        if !scenarios.iter().any(|(name, ..)| *name == figure.scenario) {
            scenarios.push((figure.scenario.clone(), figure.title.clone(), figure.focus));
        }
    }
    scenarios
}

fn vias<'a>(figures: impl Iterator<Item = &'a Figure>) -> Vec<Via> {
    let mut vias: Vec<Via> = figures.map(|figure| figure.via).collect();
    vias.sort_unstable();
    vias.dedup();
    vias
}

/// Ours against the baseline, a bar for each scenario, a colour for each network.
fn ratios(report: &Report) -> Option<Chart> {
    let mut bars: Vec<(String, Via)> = Vec::new();
    for figure in report.figures.iter().filter(|figure| ratio(report, figure).is_some()) {
        let bar = (figure.scenario.clone(), figure.via);
        if !bars.contains(&bar) {
            bars.push(bar);
        }
    }
    let series = |network: &str| {
        let mut series = Series {
            name: network.into(),
            is_baseline: false,
            labels: Vec::new(),
            points: Vec::new(),
        };
        for (place, (scenario, via)) in bars.iter().enumerate() {
            if let Some(value) =
                report.figure(network, scenario, *via).and_then(|figure| ratio(report, figure))
            {
                series.labels.push(format!("{scenario} · {}", via.name()));
                series.points.push((place as f64, value));
            }
        }
        series
    };
    let series: Vec<Series> =
        report.networks.iter().map(|network| series(&network.network.name)).collect();
    if bars.is_empty() {
        return None;
    }
    Some(Chart {
        id: "ratios".into(),
        section: Section::Ratios,
        title: "How many times the faktory crate: jobs a second, or median latency the other way \
                round"
            .into(),
        x_label: "scenario".into(),
        y_label: "times".into(),
        axes: Axes::Bars { names: u32::try_from(bars.len()).unwrap_or(u32::MAX) },
        series,
    })
}

/// Jobs a second against the round trip; where networks differ in something else, a bar for each.
fn throughput(report: &Report, scenario: &str, title: &str) -> Option<Chart> {
    let figures = || report.figures.iter().filter(|figure| figure.scenario == scenario);
    let is_timeline = |figure: &Figure| figure.runs.iter().any(|run| run.timeline.is_some());
    if figures().all(is_timeline) {
        return None;
    }
    let networks: Vec<_> = report
        .networks
        .iter()
        .filter(|one| figures().any(|figure| figure.network == one.network.name))
        .collect();
    let link = |one: &MeasuredNetwork| (one.network.near_to_far, one.network.far_to_near);
    let as_good =
        |one: &MeasuredNetwork| networks.iter().filter(|other| link(other) == link(one)).count();
    let are_bars = networks.iter().any(|network| as_good(network) > 1);
    let mut series = Vec::new();
    for via in vias(figures()) {
        let mut bars = Series {
            name: label(via).into(),
            is_baseline: via.is_baseline(),
            labels: Vec::new(),
            points: Vec::new(),
        };
        for (place, network) in networks.iter().enumerate() {
            let summary = report
                .figure(&network.network.name, scenario, via)
                .and_then(|figure| figure.summary.as_ref());
            let Some(rate) =
                summary.map(|summary| summary.jobs_per_second.median).filter(|rate| *rate > 0.0)
            else {
                continue;
            };
            if are_bars {
                bars.labels.push(network.network.name.clone());
            }
            bars.points.push((if are_bars { place as f64 } else { network.round_trip_ms }, rate));
        }
        if !are_bars {
            bars.points.sort_by(|one, other| one.0.total_cmp(&other.0));
        }
        if !bars.points.is_empty() {
            series.push(bars);
        }
    }
    let bars = || Axes::Bars { names: u32::try_from(networks.len()).unwrap_or(u32::MAX) };
    (!series.is_empty()).then(|| Chart {
        id: format!("throughput-{scenario}"),
        section: Section::Throughput,
        title: format!("{scenario}: {title}"),
        x_label: if are_bars { "network" } else { "round trip, ms" }.into(),
        y_label: "jobs a second".into(),
        axes: if are_bars { bars() } else { Axes::LogLog },
        series,
    })
}

/// A percentile as a place on an axis that spreads the nines: 0 at the median's lower half, 1 at 90
/// %, 2 at 99 %, and so on.
pub(crate) fn nines(percentile: f64) -> f64 {
    -(1.0 - (percentile / 100.0).min(0.99999)).log10()
}

fn latency(report: &Report, scenario: &str, title: &str, network: &str) -> Option<Chart> {
    let figures = || {
        report
            .figures
            .iter()
            .filter(|figure| figure.scenario == scenario && figure.network == network)
    };
    let mut series = Vec::new();
    for via in vias(figures()) {
        let Some(summary) =
            report.figure(network, scenario, via).and_then(|figure| figure.summary.as_ref())
        else {
            continue;
        };
        let points: Vec<(f64, f64)> = summary
            .distribution
            .iter()
            .map(|(percentile, us)| (nines(*percentile), us / 1e3))
            .collect();
        if !points.is_empty() {
            series.push(Series {
                name: label(via).into(),
                is_baseline: via.is_baseline(),
                labels: Vec::new(),
                points,
            });
        }
    }
    (!series.is_empty()).then(|| Chart {
        id: format!("latency-{scenario}-{network}"),
        section: Section::Latency,
        title: format!("{network} · {scenario}: {title}"),
        x_label: "percentile".into(),
        y_label: "ms".into(),
        axes: Axes::Percentiles,
        series,
    })
}
