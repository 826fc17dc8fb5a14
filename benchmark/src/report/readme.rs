//! The table in the main README, made of a report.

use anyhow::{Context, bail};

use super::numbers::{number, time};
use super::{Figure, Report, Summary};
use crate::part::order::Via;
use crate::scenario::Focus;

const BEGIN: &str = "<!-- benchmark: begin -->";
const END: &str = "<!-- benchmark: end -->";

/// The README with its table replaced.
pub(crate) fn replace(readme: &str, report: &Report, source: &str) -> anyhow::Result<String> {
    let (before, rest) =
        readme.split_once(BEGIN).with_context(|| format!("the README has no line {BEGIN}"))?;
    let Some((_, after)) = rest.split_once(END) else {
        bail!("the README has no line {END} after {BEGIN}")
    };
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", render(report, source)))
}

/// Work Factory (over HTTP, or its worker) and the faktory crate, side by side, on every network of
/// the report.
pub(crate) fn render(report: &Report, source: &str) -> String {
    let mut text = String::from("| |");
    for network in &report.networks {
        text.push_str(&format!(" {} |", network.network.title));
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(report.networks.len()));
    text.push('\n');
    let mut seen: Vec<&str> = Vec::new();
    for figure in
        report.figures.iter().filter(|figure| matches!(figure.via, Via::Http | Via::Worker))
    {
        if seen.contains(&figure.scenario.as_str()) {
            continue;
        }
        seen.push(&figure.scenario);
        text.push_str(&format!("| {} ({}) |", figure.title, unit(figure.focus)));
        for network in &report.networks {
            let ours = report
                .figure(&network.network.name, &figure.scenario, figure.via)
                .and_then(summary);
            let theirs = report
                .figure(&network.network.name, &figure.scenario, Via::Crate)
                .and_then(summary);
            let value = |summary: Option<&Summary>| {
                summary.map_or_else(|| "–".into(), |summary| value(figure.focus, summary))
            };
            text.push_str(&format!(" **{}** / {} |", value(ours), value(theirs)));
        }
        text.push('\n');
    }
    let machine = &report.machine;
    let congestion = report
        .congestion
        .as_ref()
        .map_or(&machine.default_congestion_control, |congestion| &congestion.near);
    text.push_str(&format!(
        "\n**Work Factory** / faktory crate {}, medians of {} rounds. {}, {}, {} cores, {}, \
         {congestion}, {}; commit {}. The whole report: `{source}`.\n",
        machine.faktory_crate,
        report.parameters.repetitions,
        report.began.split('T').next().unwrap_or_default(),
        machine.processor,
        machine.cores,
        machine.kernel,
        report.work_server,
        machine.commit,
    ));
    text
}

const fn summary(figure: &Figure) -> Option<&Summary> {
    figure.summary.as_ref()
}

const fn unit(focus: Focus) -> &'static str {
    match focus {
        Focus::Throughput => "jobs/s",
        Focus::Latency => "median",
        Focus::Duration => "all in",
    }
}

fn value(focus: Focus, summary: &Summary) -> String {
    match focus {
        Focus::Throughput => number(summary.jobs_per_second.median),
        Focus::Latency => time(summary.p50_us.median),
        Focus::Duration if summary.cut_short => {
            format!("over {}", time(summary.seconds.median * 1e6))
        }
        Focus::Duration => time(summary.seconds.median * 1e6),
    }
}
