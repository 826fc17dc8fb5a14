//! The report as one page that needs nothing else: no network, no other file.

use serde::Serialize;

use super::charts::{self, Chart};
use super::{Report, table};

const TEMPLATE: &str = include_str!("../../assets/report.html");
const STYLE: &str = include_str!("../../assets/report.css");
const SCRIPT: &str = include_str!("../../assets/report.js");
/// Chart.js (MIT), as it comes from the npm registry; see `assets/vendor/README.md`.
const CHART_LIBRARY: &str = include_str!("../../assets/vendor/chart.umd.min.js");

#[derive(Serialize)]
struct Data<'a> {
    report: &'a Report,
    charts: Vec<Chart>,
    rows: Vec<Row>,
    failures: Vec<String>,
}

/// A figure as it stands in the page's table.
#[derive(Serialize)]
struct Row {
    network: String,
    scenario: String,
    title: String,
    via: String,
    is_baseline: bool,
    cells: Vec<String>,
}

/// The page.
pub(crate) fn render(report: &Report) -> anyhow::Result<String> {
    let data = Data {
        report,
        charts: charts::of(report),
        rows: rows(report),
        failures: report.failures(),
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

fn rows(report: &Report) -> Vec<Row> {
    let cells = |figure: &super::Figure| {
        let Some(summary) = &figure.summary else { return vec!["–".to_owned(); 6] };
        let time = |us: f64| if us > 0.0 { table::time(us) } else { "–".into() };
        let rate = summary.jobs_per_second;
        let processor = summary
            .processor_us_per_job
            .iter()
            .filter(|(name, us)| *name != "emulator" && **us > 0.0);
        vec![
            table::number(rate.median),
            format!("{} – {}", table::number(rate.min), table::number(rate.max)),
            time(summary.p50_us.median),
            time(summary.p99_us.median),
            processor
                .map(|(name, us)| format!("{name} {}", table::number(*us)))
                .collect::<Vec<_>>()
                .join(", "),
            table::ratio(report, figure)
                .map_or_else(|| "–".into(), |ratio| format!("{} ×", table::number(ratio))),
        ]
    };
    let row = |figure: &super::Figure| Row {
        network: figure.network.clone(),
        scenario: figure.scenario.clone(),
        title: figure.title.clone(),
        via: figure.via.name().into(),
        is_baseline: figure.via.is_baseline(),
        cells: cells(figure),
    };
    report.figures.iter().map(row).collect()
}
