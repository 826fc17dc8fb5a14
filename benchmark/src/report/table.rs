//! The report as a table in the terminal.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::{Figure, Report, Summary};
use crate::scenario::Focus;

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
    let void = figure.runs.iter().filter(|run| !run.void.is_empty()).count();
    let failed = figure.runs.iter().filter(|run| !run.failures.is_empty()).count();
    let mut remarks = Vec::new();
    if void > 0 {
        remarks.push(format!("{void} void"));
    }
    if failed > 0 {
        remarks.push(format!("{failed} FAILED"));
    }
    let mut row = vec![figure.scenario.clone(), figure.via.name().to_owned()];
    let Some(summary) = &figure.summary else {
        row.extend(std::iter::repeat_n(String::new(), 6));
        row.push(remarks.join(", "));
        return row;
    };
    let rate = summary.jobs_per_second;
    row.push(number(rate.median));
    row.push(format!("{} – {}", number(rate.min), number(rate.max)));
    row.extend(
        [summary.p50_us, summary.p99_us, summary.max_us]
            .map(|spread| if spread.median > 0.0 { time(spread.median) } else { String::new() }),
    );
    row.push(processors(summary));
    if let Some(ratio) = against_baseline(report, figure) {
        remarks.insert(0, ratio);
    }
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
    if let Some((median, p99)) = summary.refused_us {
        remarks.push(format!("not stored: told in {}, p99 {}", time(median), time(p99)));
    }
    if let Some(unknown) = summary.unknown {
        remarks.push(format!("{} jobs unknown", number(unknown)));
    }
    if let Some(seconds) = summary.resumed_seconds {
        remarks.push(format!("as before {} after the cut", time(seconds * 1e6)));
    }
    if let Some(share) = summary.handler_share {
        remarks.push(format!("handlers {:.0} %", share * 100.0));
    }
    row.push(remarks.join(", "));
    row
}

fn processors(summary: &Summary) -> String {
    let each =
        summary.processor_us_per_job.iter().filter(|(name, us)| *name != "emulator" && **us > 0.0);
    each.map(|(name, us)| format!("{name} {}", number(*us))).collect::<Vec<_>>().join(" ")
}

/// How many times the baseline's figure this one is.
fn against_baseline(report: &Report, figure: &Figure) -> Option<String> {
    ratio(report, figure).map(|ratio| format!("{} ×", number(ratio)))
}

/// Ours against the faktory crate's on the same network: how many times the jobs a second, or how
/// many times shorter the median latency.
pub(crate) fn ratio(report: &Report, figure: &Figure) -> Option<f64> {
    if figure.via.is_baseline() {
        return None;
    }
    let baseline = report
        .figure(&figure.network, &figure.scenario, crate::part::order::Via::Crate)?
        .summary
        .as_ref()?;
    let ours = figure.summary.as_ref()?;
    let (ours, theirs) = match figure.focus {
        Focus::Throughput | Focus::Duration => {
            (ours.jobs_per_second.median, baseline.jobs_per_second.median)
        }
        Focus::Latency => (baseline.p50_us.median, ours.p50_us.median),
    };
    (theirs > 0.0 && ours > 0.0).then(|| ours / theirs)
}

/// A number as a person would write it: three digits count.
pub(crate) fn number(value: f64) -> String {
    if value >= 1000.0 {
        let whole = format!("{value:.0}");
        let mut text = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Microseconds as a time.
pub(crate) fn time(us: f64) -> String {
    if us >= 10_000_000.0 {
        format!("{:.1} s", us / 1e6)
    } else if us >= 1000.0 {
        format!("{} ms", number(us / 1e3))
    } else {
        format!("{us:.0} µs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let texts: Vec<String> =
            [0.1234, 9.876, 12.34, 123.4, 1234.5, 1_234_567.0].map(number).into();
        assert_eq!(texts, ["0.12", "9.88", "12.3", "123", "1,234", "1,234,567"]);
        assert_eq!([time(12.0), time(1500.0), time(12_345_678.0)], ["12 µs", "1.50 ms", "12.3 s"]);
    }
}
