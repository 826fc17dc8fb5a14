//! What changed between two reports.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::numbers::{number, time, times};
use super::{Figure, Report, Summary};
use crate::measure::Spread;
use crate::scenario::Focus;

/// With fewer rounds the spread says nothing.
const ROUNDS_TO_TELL: usize = 3;

/// A table of the figures that both reports have, and notes about what makes them hard to compare.
pub(crate) fn render(before: &Report, after: &Report) -> String {
    let notes = notes(before, after);
    let rows: Vec<_> = after.figures.iter().filter_map(|figure| row(before, figure)).collect();
    if rows.is_empty() {
        return format!("{notes}The reports have no figure in common.\n");
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["network", "scenario", "via", "figure", "before", "after", "change", ""]);
    for column in 4..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    format!("{notes}{table}\n")
}

/// A line for each condition that differs, and for each warning.
fn notes(before: &Report, after: &Report) -> String {
    let mut notes = String::new();
    for (name, one, other) in [
        ("machine", &before.machine.processor, &after.machine.processor),
        ("kernel", &before.machine.kernel, &after.machine.kernel),
        ("build", &before.machine.build, &after.machine.build),
        ("work server", &before.work_server, &after.work_server),
        ("faktory crate", &before.machine.faktory_crate, &after.machine.faktory_crate),
        ("distance", &format!("{:?}", before.distance), &format!("{:?}", after.distance)),
        (
            "congestion control",
            &format!("{:?}", before.congestion),
            &format!("{:?}", after.congestion),
        ),
        ("number of cores", &before.machine.cores.to_string(), &after.machine.cores.to_string()),
    ] {
        if one != other {
            notes.push_str(&format!("note: another {name}: {one} before, {other} after\n"));
        }
    }
    if before.parameters != after.parameters {
        notes.push_str("note: the parameters differ\n");
    }
    for warning in before.warnings.iter().chain(&after.warnings) {
        notes.push_str(&format!("note: {warning}\n"));
    }
    notes
}

/// A figure's row; `None` where the earlier report lacks it.
fn row(before: &Report, figure: &Figure) -> Option<[String; 8]> {
    let old = before.figure(&figure.network, &figure.scenario, figure.via)?.summary.as_ref()?;
    let new = figure.summary.as_ref()?;
    let Change { name, before, after, more_is_better } = change(figure.focus, old, new);
    let factor = after.median / before.median;
    let better = (factor > 1.0) == more_is_better;
    let verdict = if old.runs.min(new.runs) < ROUNDS_TO_TELL {
        "too few rounds to tell"
    } else if before.min <= after.max && after.min <= before.max {
        "within the spread"
    } else if better {
        "better"
    } else {
        "WORSE"
    };
    let show = |value: f64| if more_is_better { number(value) } else { time(value) };
    Some([
        figure.network.clone(),
        figure.scenario.clone(),
        figure.via.name().into(),
        name.into(),
        show(before.median),
        show(after.median),
        times(factor),
        verdict.into(),
    ])
}

/// What is compared of a figure.
struct Change {
    name: &'static str,
    before: Spread,
    after: Spread,
    more_is_better: bool,
}

const fn change(focus: Focus, old: &Summary, new: &Summary) -> Change {
    match focus {
        Focus::Throughput | Focus::Duration => Change {
            name: "jobs/s",
            before: old.jobs_per_second,
            after: new.jobs_per_second,
            more_is_better: true,
        },
        Focus::Latency => {
            Change { name: "p50", before: old.p50_us, after: new.p50_us, more_is_better: false }
        }
    }
}
