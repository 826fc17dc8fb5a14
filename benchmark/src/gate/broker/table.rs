//! The servers side by side, a column each.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::{ONE_PUSH, ROWS, SYNC, processor_us, summary};
use crate::measure::Spread;
use crate::report::Report;
use crate::runner::side_by_side::{BROKER, DISK, FAKTORY, NULL};

/// The table of jobs a second, and that of the time of one PUSH.
pub(in crate::gate) fn render(report: &Report) -> String {
    format!("{}\n{}\n", rates(report), times(report))
}

fn rates(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header([
        "jobs/s",
        "broker",
        "Faktory",
        "× Faktory",
        "null server",
        "share of it",
        "µs a job: broker",
        "Faktory",
        "null server",
    ]);
    for row in &ROWS {
        let rate = |server| Some(summary(report, server, row.scenario)?.jobs_per_second);
        let median = |server| rate(server).map(|rate| rate.median);
        let ratio = |other| Some(median(BROKER)? / median(other)?);
        let processor = |server| shown(processor_us(report, server, row.scenario), 2);
        table.add_row([
            row.title.to_owned(),
            spread(rate(BROKER)),
            spread(rate(FAKTORY)),
            shown(ratio(FAKTORY), 2),
            spread(rate(NULL)),
            shown(ratio(NULL), 2),
            processor(BROKER),
            processor(FAKTORY),
            processor(NULL),
        ]);
    }
    to_the_right(&mut table);
    table
}

fn times(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["one at a time, µs", "p50", "p99"]);
    for (name, server, scenario) in [
        ("PUSH to the broker", BROKER, ONE_PUSH),
        ("PUSH to Faktory", FAKTORY, ONE_PUSH),
        ("PUSH to the null server", NULL, ONE_PUSH),
        ("fdatasync", DISK, SYNC),
    ] {
        let summary = summary(report, server, scenario);
        table.add_row([
            name.to_owned(),
            spread(summary.map(|summary| summary.p50_us)),
            spread(summary.map(|summary| summary.p99_us)),
        ]);
    }
    to_the_right(&mut table);
    table
}

fn to_the_right(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// The median, and the lowest and the highest value.
fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".into(),
        |Spread { median, min, max }| format!("{median:.0} ({min:.0} – {max:.0})"),
    )
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
}
