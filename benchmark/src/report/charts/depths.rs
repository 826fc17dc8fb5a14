//! What a work server uses as it is filled: memory, disk and times over the number of jobs.

use super::axis::Axis;
use super::{Chart, Drawing, Entry, Look, Section, Series, id};
use crate::report::{Depth, Figure};

/// The labels of the vertical axes.
const MEGABYTES: &str = "MB";
const TIME: &str = "µs a job";

/// A value over the number of jobs.
struct Line {
    name: &'static str,
    look: Look,
    of: fn(&Depth) -> f64,
}

const MEMORY: [Line; 1] = [Line {
    name: "resident memory",
    look: Look::Raw,
    of: |depth| depth.resident_bytes as f64 / 1e6,
}];

const DISK: [Line; 1] =
    [Line { name: "files", look: Look::Raw, of: |depth| depth.disk_bytes as f64 / 1e6 }];

const TIMES: [Line; 3] = [
    Line { name: "filled in, PUSHBs of 1,000", look: Look::Http, of: |depth| depth.fill_us },
    Line { name: "PUSH, FETCH and ACK", look: Look::Raw, of: |depth| depth.cycle_us },
    Line {
        name: "PUSH, FETCH and ACK: the server's processor time",
        look: Look::Worker,
        of: |depth| depth.cycle_processor_us,
    },
];

/// The charts of a figure; none where no server was filled.
pub(super) fn of(figure: &Figure) -> Vec<Chart> {
    let Some(run) = figure.sound_runs().find(|run| !run.depths.is_empty()) else {
        return Vec::new();
    };
    let chart = |what: &str, unit: &str, lines: &[Line]| {
        let series: Vec<Series> = lines.iter().map(|line| series(line, &run.depths)).collect();
        let points = || series.iter().flat_map(|series| &series.points);
        Some(Chart {
            id: id(&["depth", &figure.scenario, &figure.network, what]),
            section: Section::Depths,
            title: format!("{} · {}: {what}", figure.network, figure.scenario),
            legend: lines.iter().map(entry).collect(),
            drawing: Drawing::Lines {
                x: Axis::from_zero("million jobs", points().map(|(jobs, _)| *jobs))?,
                y: Axis::from_zero(unit, points().map(|(_, value)| *value))?,
                series,
            },
        })
    };
    let charts = [
        chart("memory", MEGABYTES, &MEMORY),
        chart("disk", MEGABYTES, &DISK),
        chart("times", TIME, &TIMES),
    ];
    charts.into_iter().flatten().collect()
}

fn series(line: &Line, depths: &[Depth]) -> Series {
    let point = |depth: &Depth| (depth.jobs as f64 / 1e6, (line.of)(depth));
    Series {
        name: line.name.into(),
        look: line.look,
        points: depths.iter().map(point).collect(),
        labels: Vec::new(),
    }
}

fn entry(line: &Line) -> Entry {
    Entry { look: line.look, text: line.name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::order::Via;
    use crate::report::Run;
    use crate::scenario::Focus;

    fn figure(depths: Vec<Depth>) -> Figure {
        Figure {
            network: "deep".into(),
            scenario: "fill".into(),
            title: String::new(),
            focus: Focus::Throughput,
            via: Via::Raw,
            summary: None,
            runs: vec![Run { depths, ..Run::default() }],
        }
    }

    #[test]
    fn memory_disk_and_times_are_drawn_over_the_number_of_jobs() {
        let depth = |jobs| Depth { jobs, resident_bytes: 50_000_000, ..Depth::default() };
        let charts = of(&figure(vec![depth(1_000_000), depth(2_000_000)]));
        assert_eq!(charts.len(), 3);
        let Drawing::Lines { series, .. } = &charts[0].drawing else { panic!("lines") };
        assert_eq!(series[0].points, [(1.0, 50.0), (2.0, 50.0)]);
        assert!(of(&figure(Vec::new())).is_empty());
    }
}
