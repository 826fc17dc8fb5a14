//! Jobs a second: a line over the round trip where each network has a link of its own, a bar for
//! each network where several have the same link and differ in something else.

use super::axis::Axis;
use super::{Bar, Chart, Drawing, Look, Measured, Section, Series, id, legend, vias};
use crate::part::order::Via;
use crate::report::numbers::number;
use crate::report::{Figure, MeasuredNetwork, Report};

/// The axis of a rate has at least a decade, so that a level line looks level.
const LEAST_DECADE: f64 = 10.0;

/// The rate on one network by one way.
struct Rate<'a> {
    network: &'a MeasuredNetwork,
    via: Via,
    jobs_per_second: f64,
}

/// The chart of a scenario; `None` where no jobs were counted, or where timelines show them.
pub(super) fn of(report: &Report, scenario: &Measured<'_>) -> Option<Chart> {
    let figures = || report.figures.iter().filter(|figure| figure.scenario == scenario.name);
    let is_timeline = |figure: &Figure| figure.runs.iter().any(|run| run.timeline.is_some());
    if figures().all(is_timeline) {
        return None;
    }
    let networks: Vec<&MeasuredNetwork> = report
        .networks
        .iter()
        .filter(|one| figures().any(|figure| figure.network == one.network.name))
        .collect();
    let rate = |network: &'_ MeasuredNetwork, via| {
        let figure = report.figure(&network.network.name, scenario.name, via)?;
        let rate = figure.summary.as_ref()?.jobs_per_second.median;
        (rate > 0.0).then_some(rate)
    };
    let mut rates = Vec::new();
    for network in &networks {
        for via in vias(figures()) {
            let rate = rate(network, via);
            rates.extend(rate.map(|jobs_per_second| Rate { network, via, jobs_per_second }));
        }
    }
    let (section, drawing) = if have_links_of_their_own(&networks) {
        (Section::Throughput, lines(&rates)?)
    } else {
        (Section::Networks, bars(&rates)?)
    };
    Some(Chart {
        id: id(&["throughput", scenario.name]),
        section,
        title: format!("{}: {}", scenario.name, scenario.title),
        legend: legend(rates.iter().map(|rate| Look::of(rate.via))),
        drawing,
    })
}

/// Whether these are two networks at least, of which no two have the same link.
fn have_links_of_their_own(networks: &[&MeasuredNetwork]) -> bool {
    let link = |one: &MeasuredNetwork| (one.network.near_to_far, one.network.far_to_near);
    let is_alone = |one: &&&MeasuredNetwork| {
        networks.iter().filter(|other| link(other) == link(one)).count() == 1
    };
    networks.len() > 1 && networks.iter().all(|network| is_alone(&network))
}

fn lines(rates: &[Rate<'_>]) -> Option<Drawing> {
    let series = |via: Via| {
        let mut rates: Vec<&Rate<'_>> = rates.iter().filter(|rate| rate.via == via).collect();
        rates.sort_by(|one, other| {
            one.network.round_trip_ms.total_cmp(&other.network.round_trip_ms)
        });
        let point = |rate: &&Rate<'_>| (rate.network.round_trip_ms, rate.jobs_per_second);
        let label = |rate: &&Rate<'_>| rate.network.network.name.clone();
        Series {
            name: Look::of(via).text().into(),
            look: Look::of(via),
            points: rates.iter().map(point).collect(),
            labels: rates.iter().map(label).collect(),
        }
    };
    let mut vias: Vec<Via> = rates.iter().map(|rate| rate.via).collect();
    vias.sort_unstable();
    vias.dedup();
    let round_trips = rates.iter().map(|rate| rate.network.round_trip_ms);
    let each = rates.iter().map(|rate| rate.jobs_per_second);
    Some(Drawing::Lines {
        x: Axis::logarithmic("round trip, ms", round_trips, LEAST_DECADE)?,
        y: Axis::logarithmic("jobs a second", each, LEAST_DECADE)?,
        series: vias.into_iter().map(series).collect(),
    })
}

fn bars(rates: &[Rate<'_>]) -> Option<Drawing> {
    let most = rates.iter().map(|rate| rate.jobs_per_second).reduce(f64::max)?;
    let bar = |rate: &Rate<'_>| Bar {
        name: rate.network.network.name.clone(),
        look: Look::of(rate.via),
        value: rate.jobs_per_second,
        text: format!("{} jobs/s", number(rate.jobs_per_second)),
        from: 0.0,
        to: rate.jobs_per_second / most,
    };
    Some(Drawing::Bars { bars: rates.iter().map(bar).collect() })
}
