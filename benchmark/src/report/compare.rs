//! What changed between two reports.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::table::{number, time};
use super::{Report, Summary};
use crate::measure::Spread;
use crate::scenario::Focus;

/// With fewer rounds the spread says nothing.
const ROUNDS_TO_TELL: usize = 3;

/// A table of the figures that both have, and words about what makes them hard to compare.
pub(crate) fn render(before: &Report, after: &Report) -> String {
    let mut text = String::new();
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
            text.push_str(&format!("note: another {name}: {one} before, {other} after\n"));
        }
    }
    if before.parameters != after.parameters {
        text.push_str("note: the parameters differ\n");
    }
    for warning in before.warnings.iter().chain(&after.warnings) {
        text.push_str(&format!("note: {warning}\n"));
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["network", "scenario", "via", "figure", "before", "after", "change", ""]);
    for column in 4..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut rows = 0;
    for figure in &after.figures {
        let old = before
            .figure(&figure.network, &figure.scenario, figure.via)
            .and_then(|figure| figure.summary.as_ref());
        let (Some(old), Some(new)) = (old, figure.summary.as_ref()) else { continue };
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
        table.add_row([
            figure.network.clone(),
            figure.scenario.clone(),
            figure.via.name().into(),
            name.into(),
            show(before.median),
            show(after.median),
            format!("{} ×", number(factor)),
            verdict.into(),
        ]);
        rows += 1;
    }
    if rows == 0 {
        text.push_str("The reports have no figure in common.\n");
        return text;
    }
    text.push_str(&table.to_string());
    text.push('\n');
    text
}

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
