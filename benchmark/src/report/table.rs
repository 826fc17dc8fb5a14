//! The report as a table in the terminal.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::baseline;
use super::numbers::{number, time, times};
use super::{Figure, Report, Summary};
use crate::measure::{Spread, gives};

/// All figures, a table for each network.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    for network in &report.networks {
        let (name, title) = (&network.network.name, &network.network.title);
        text.push_str(&format!(
            "\n{name}: {title}; a round trip took {:.1} ms\n",
            network.round_trip_ms
        ));
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        table.set_header([
            "scenario",
            "via",
            "jobs/s",
            "(lowest – highest)",
            "p50",
            "p99",
            "max",
            "processor µs a job",
            "",
        ]);
        for column in 2..7 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for figure in report.figures.iter().filter(|figure| figure.network == *name) {
            table.add_row(row(report, figure));
        }
        text.push_str(&table.to_string());
        text.push('\n');
    }
    text
}

fn row(report: &Report, figure: &Figure) -> Vec<String> {
    let mut row = vec![figure.scenario.clone(), figure.via.name().to_owned()];
    let Some(summary) = &figure.summary else {
        row.extend(std::iter::repeat_n(String::new(), 6));
        row.push(failed_runs(figure).join(", "));
        return row;
    };
    let rate = summary.jobs_per_second;
    row.push(number(rate.median));
    row.push(format!("{} – {}", number(rate.min), number(rate.max)));
    let latency = |percentile: f64, of: fn(&Summary) -> Spread| {
        figure.latency_at(percentile, of).map(|spread| time(spread.median)).unwrap_or_default()
    };
    row.push(latency(50.0, |summary| summary.p50_us));
    row.push(latency(99.0, |summary| summary.p99_us));
    row.push(latency(100.0, |summary| summary.max_us));
    row.push(processors(summary));
    row.push(remarks(report, figure, summary).join(", "));
    row
}

/// How many runs are void, and how many failed.
fn failed_runs(figure: &Figure) -> Vec<String> {
    let void = figure.runs.iter().filter(|run| !run.void.is_empty()).count();
    let failed = figure.runs.iter().filter(|run| !run.failures.is_empty()).count();
    let mut remarks = Vec::new();
    if void > 0 {
        remarks.push(format!("{void} void"));
    }
    if failed > 0 {
        remarks.push(format!("{failed} FAILED"));
    }
    remarks
}

/// What a reader must know beside the numbers; how many times the baseline's figure it is first.
fn remarks(report: &Report, figure: &Figure, summary: &Summary) -> Vec<String> {
    let comparison = baseline::compare(report, figure);
    let mut remarks: Vec<String> =
        comparison.map(|comparison| times(comparison.ratio)).into_iter().collect();
    remarks.extend(failed_runs(figure));
    if summary.cut_short {
        remarks.push("stopped early".into());
    }
    if let Some(late) =
        summary.generator_late_p99_us.filter(|late| *late > summary.p50_us.median / 10.0)
    {
        remarks.push(format!("generator late by {}", time(late)));
    }
    if !summary.looked_at_each {
        remarks.push("jobs counted, not looked at".into());
    }
    remarks.extend(refused(figure, summary));
    if let Some(unknown) = summary.unknown {
        remarks.push(format!("{} jobs unknown", number(unknown)));
    }
    if let Some(seconds) = summary.resumed_seconds {
        remarks.push(format!("as before {} after the cut", time(seconds * 1e6)));
    }
    if let Some(share) = summary.handler_share {
        remarks.push(format!("handlers {:.0} %", share * 100.0));
    }
    remarks
}

/// How long requests took of which nothing was stored.
fn refused(figure: &Figure, summary: &Summary) -> Option<String> {
    let (median, p99) = summary.refused_us?;
    let told = format!("not stored: told in {}", time(median));
    let refused = figure.sound_runs().filter_map(|run| run.refused.as_ref());
    let samples = refused.map(|refused| refused.latency.count).min().unwrap_or_default();
    Some(if gives(samples, 99.0) { format!("{told}, p99 {}", time(p99)) } else { told })
}

fn processors(summary: &Summary) -> String {
    let each =
        summary.processor_us_per_job.iter().filter(|(name, us)| *name != "emulator" && **us > 0.0);
    each.map(|(name, us)| format!("{name} {}", number(*us))).collect::<Vec<_>>().join(" ")
}
