//! The report as one page that needs nothing else: no network, no other file.

use serde::Serialize;

use super::Report;
use super::charts::{self, Chart};
use super::highlights::{self, Highlight};

mod conditions;
mod rows;

const TEMPLATE: &str = include_str!("../../assets/report.html");
const STYLE: &str = include_str!("../../assets/report.css");
const SCRIPT: &str = include_str!("../../assets/report.js");
/// Chart.js (MIT), as it comes from the npm registry; see `assets/vendor/README.md`.
const CHART_LIBRARY: &str = include_str!("../../assets/vendor/chart.umd.min.js");

/// All that the page's script shows, ready to be shown.
#[derive(Serialize)]
struct Data {
    warnings: Vec<String>,
    highlights: Vec<Highlight>,
    charts: Vec<Chart>,
    tables: Vec<rows::Table>,
    conditions: Vec<(&'static str, String)>,
}

/// The page.
pub(crate) fn render(report: &Report) -> anyhow::Result<String> {
    let failures = report.failures().into_iter().map(|failure| format!("FAILED: {failure}"));
    let data = Data {
        warnings: report.warnings.iter().cloned().chain(failures).collect(),
        highlights: highlights::of(report),
        charts: charts::of(report),
        tables: rows::of(report),
        conditions: conditions::of(report)?,
    };
    // In a script element, only `</` could end it early, and `<!--` change how it is read.
    let json = serde_json::to_string(&data)?.replace('<', "\\u003c");
    let library = CHART_LIBRARY
        .lines()
        .filter(|line| !line.starts_with("//# sourceMappingURL"))
        .collect::<Vec<_>>()
        .join("\n");
    Ok(TEMPLATE
        .replace("/*STYLE*/", STYLE)
        .replace("/*DATA*/", &json)
        .replace("/*LIBRARY*/", &library)
        .replace("/*SCRIPT*/", SCRIPT))
}
