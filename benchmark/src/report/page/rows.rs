//! All figures as the page's tables, one for each network.

use serde::Serialize;

use crate::measure::Spread;
use crate::report::baseline::{self, Standing};
use crate::report::numbers::{number, time, times};
use crate::report::{Figure, MeasuredNetwork, Report, Summary};

/// What stands where there is no figure.
const NOTHING: &str = "–";

/// The figures of a network.
#[derive(Serialize)]
pub(super) struct Table {
    network: String,
    title: String,
    rows: Vec<Row>,
}

/// A figure as it stands in a table.
#[derive(Serialize)]
struct Row {
    scenario: String,
    title: String,
    via: String,
    is_baseline: bool,
    /// Numbers, in the order of the table's head.
    numbers: Vec<String>,
    processor: String,
    /// How many times the baseline's figure.
    ratio: String,
    standing: Option<Standing>,
}

/// The tables of a report, without those that would be empty.
pub(super) fn of(report: &Report) -> Vec<Table> {
    let table = |network: &MeasuredNetwork| Table {
        network: network.network.name.clone(),
        title: format!(
            "{}; a round trip took {:.1} ms",
            network.network.title, network.round_trip_ms
        ),
        rows: report
            .figures
            .iter()
            .filter(|figure| figure.network == network.network.name)
            .map(|figure| row(report, figure))
            .collect(),
    };
    report.networks.iter().map(table).filter(|table| !table.rows.is_empty()).collect()
}

fn row(report: &Report, figure: &Figure) -> Row {
    let comparison = baseline::compare(report, figure);
    Row {
        scenario: figure.scenario.clone(),
        title: figure.title.clone(),
        via: figure.via.name().into(),
        is_baseline: figure.via.is_baseline(),
        numbers: numbers(figure),
        processor: figure.summary.as_ref().map(processor).unwrap_or_default(),
        ratio: comparison.map_or_else(|| NOTHING.into(), |comparison| times(comparison.ratio)),
        standing: comparison.map(|comparison| comparison.standing),
    }
}

/// Jobs a second, their range, and the median and the 99th percentile of the latencies: a
/// percentile that the number of samples can't give is not shown.
fn numbers(figure: &Figure) -> Vec<String> {
    let rate = figure.summary.as_ref().map(|summary| summary.jobs_per_second);
    let rate = rate.filter(|rate| rate.max > 0.0);
    let shown = |text: Option<String>| text.unwrap_or_else(|| NOTHING.into());
    let latency = |percentile: f64, of: fn(&Summary) -> Spread| {
        shown(figure.latency_at(percentile, of).map(|spread| time(spread.median)))
    };
    vec![
        shown(rate.map(|rate| number(rate.median))),
        shown(rate.map(|rate| format!("{} – {}", number(rate.min), number(rate.max)))),
        latency(50.0, |summary| summary.p50_us),
        latency(99.0, |summary| summary.p99_us),
    ]
}

/// Each process's time for a job, without the emulator's; nothing where no jobs were counted.
fn processor(summary: &Summary) -> String {
    let has_jobs = summary.jobs_per_second.max > 0.0;
    let each = summary
        .processor_us_per_job
        .iter()
        .filter(|(name, us)| has_jobs && *name != "emulator" && **us > 0.0);
    let each: Vec<String> = each.map(|(name, us)| format!("{name} {}", number(*us))).collect();
    if each.is_empty() { NOTHING.into() } else { each.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Latency;
    use crate::part::order::Via;
    use crate::report::Run;
    use crate::scenario::Focus;

    #[test]
    fn a_table_shows_no_99th_percentile_of_fewer_than_a_hundred_samples() {
        let shown = |count: u64| {
            let latency = Latency { count, p50_us: 1000, p99_us: 2000, ..Latency::default() };
            let run = Run { jobs_per_second: 50.0, latency, ..Run::default() };
            let mut figure = Figure {
                network: "wan".into(),
                scenario: "single".into(),
                title: String::new(),
                focus: Focus::Latency,
                via: Via::Http,
                summary: None,
                runs: vec![run],
            };
            figure.summarise();
            numbers(&figure)
        };
        assert_eq!(shown(100), ["50.0", "50.0 – 50.0", "1.00 ms", "2.00 ms"]);
        assert_eq!(shown(99), ["50.0", "50.0 – 50.0", "1.00 ms", "–"]);
        assert_eq!(shown(0), ["50.0", "50.0 – 50.0", "–", "–"]);
    }
}
