//! What a page must show, made from the report's JSON alone.

use std::collections::BTreeMap;

use serde_json::Value;

/// The percentiles that a report has, and how many samples each needs.
const SAMPLES_NEEDED: [(f64, u64); 12] = [
    (0.0, 1),
    (10.0, 10),
    (25.0, 4),
    (50.0, 1),
    (75.0, 4),
    (90.0, 10),
    (95.0, 20),
    (99.0, 100),
    (99.5, 200),
    (99.9, 1000),
    (99.99, 10_000),
    (100.0, 1),
];

/// A chart.
#[derive(Debug, Default)]
pub(super) struct Chart {
    /// The points of each line, by its name.
    pub(super) lines: BTreeMap<String, Vec<(f64, f64)>>,
    /// The names, looks and values of bars.
    pub(super) bars: Vec<(String, String, f64)>,
}

/// How a figure of ours compares with the baseline's.
pub(super) struct Ratio {
    pub(super) network: String,
    pub(super) scenario: String,
    pub(super) via: String,
    pub(super) value: f64,
    /// `ahead`, `level` or `behind`.
    pub(super) standing: &'static str,
}

pub(super) fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().unwrap()
}

pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

fn median(summary: &Value, member: &str) -> f64 {
    summary[member]["median"].as_f64().unwrap()
}

fn sound_runs(figure: &Value) -> Vec<&Value> {
    let is_sound = |run: &&Value| list(run, "failures").is_empty() && list(run, "void").is_empty();
    list(figure, "runs").iter().filter(is_sound).collect()
}

/// The number of latencies in the run that has the fewest.
pub(super) fn samples(figure: &Value) -> u64 {
    let counts = sound_runs(figure).into_iter().map(|run| run["latency"]["count"].as_u64());
    counts.map(Option::unwrap).min().unwrap_or(0)
}

fn line_of(via: &str) -> String {
    let name = match via {
        "http" => "Work Factory, over HTTP",
        "link" => "Work Factory, bare link",
        "worker" => "Work Factory, worker",
        "crate" => "faktory crate",
        "raw" => "prepared bytes over bare sockets",
        other => panic!("{other}"),
    };
    name.into()
}

fn id(words: &[&str]) -> String {
    words.join("-").replace(|char: char| !char.is_ascii_alphanumeric(), "-")
}

/// All charts, by their ids.
pub(super) fn charts(report: &Value) -> BTreeMap<String, Chart> {
    let mut charts: BTreeMap<String, Chart> = BTreeMap::new();
    for ratio in ratios(report) {
        let chart = charts.entry(id(&["ratios", &ratio.network])).or_default();
        let name = format!("{} · {}", ratio.scenario, ratio.via);
        chart.bars.push((name, ratio.standing.into(), ratio.value));
    }
    for figure in list(report, "figures") {
        timeline(figure, &mut charts);
        depths(figure, &mut charts);
        if figure["summary"].is_null() {
            continue;
        }
        if text(figure, "focus") == "latency" {
            latency(figure, &mut charts);
        } else {
            throughput(report, figure, &mut charts);
        }
    }
    for chart in charts.values_mut() {
        if chart.lines.contains_key("the link is cut") {
            continue;
        }
        let lines = chart.lines.values_mut();
        lines.for_each(|points| points.sort_by(|one, other| one.partial_cmp(other).unwrap()));
    }
    charts
}

fn latency(figure: &Value, charts: &mut BTreeMap<String, Chart>) {
    let samples = samples(figure);
    if samples < 2 {
        return;
    }
    let point = |point: &Value| {
        let (percentile, us) = (point[0].as_f64().unwrap(), point[1].as_f64().unwrap());
        let (_, needed) = SAMPLES_NEEDED.iter().find(|(at, _)| *at == percentile).unwrap();
        let beyond = (1.0 - percentile / 100.0).max(1.0 / samples as f64);
        (samples >= *needed).then(|| (-beyond.log10(), us / 1e3))
    };
    let points: Vec<(f64, f64)> =
        list(&figure["summary"], "distribution").iter().filter_map(point).collect();
    if !points.is_empty() {
        let id = id(&["latency", text(figure, "scenario"), text(figure, "network")]);
        charts.entry(id).or_default().lines.insert(line_of(text(figure, "via")), points);
    }
}

fn throughput(report: &Value, figure: &Value, charts: &mut BTreeMap<String, Chart>) {
    let scenario = text(figure, "scenario");
    let of_scenario: Vec<&Value> = list(report, "figures")
        .iter()
        .filter(|figure| text(figure, "scenario") == scenario)
        .collect();
    let has_timeline =
        |figure: &&Value| list(figure, "runs").iter().any(|run| run.get("timeline").is_some());
    let rate = median(&figure["summary"], "jobs_per_second");
    if rate == 0.0 || of_scenario.iter().all(has_timeline) {
        return;
    }
    let networks: Vec<&Value> = list(report, "networks")
        .iter()
        .filter(|network| of_scenario.iter().any(|figure| figure["network"] == network["name"]))
        .collect();
    let links: Vec<(&Value, &Value)> =
        networks.iter().map(|network| (&network["near_to_far"], &network["far_to_near"])).collect();
    let are_different =
        links.iter().all(|link| links.iter().filter(|other| *other == link).count() == 1);
    let chart = charts.entry(id(&["throughput", scenario])).or_default();
    if are_different && links.len() > 1 {
        let network = networks.iter().find(|one| one["name"] == figure["network"]).unwrap();
        let point = (network["round_trip_ms"].as_f64().unwrap(), rate);
        chart.lines.entry(line_of(text(figure, "via"))).or_default().push(point);
    } else {
        chart.bars.push((text(figure, "network").into(), text(figure, "via").into(), rate));
    }
}

fn timeline(figure: &Value, charts: &mut BTreeMap<String, Chart>) {
    let sound = sound_runs(figure);
    let Some(run) = sound.first().filter(|run| run.get("timeline").is_some()) else { return };
    let timeline = &run["timeline"];
    let number = |value: &Value| value.as_f64().unwrap();
    let (step, seconds) = (number(&timeline["step_seconds"]), number(&run["seconds"]));
    let rates: Vec<f64> = list(timeline, "jobs_per_second").iter().map(number).collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    // A last step that is not whole is not shown.
    let whole = ((seconds + 1e-3) / step).floor() as usize;
    let points = rates.iter().take(whole).enumerate().map(|(at, rate)| (at as f64 * step, *rate));
    let (from, to) = (number(&timeline["cut"][0]), number(&timeline["cut"][1]));
    let words =
        ["timeline", text(figure, "scenario"), text(figure, "network"), text(figure, "via")];
    let chart = charts.entry(id(&words)).or_default();
    chart.lines.insert(line_of(text(figure, "via")), points.collect());
    let cut = vec![(from, 0.0), (from, most), (to, most), (to, 0.0)];
    chart.lines.insert("the link is cut".into(), cut);
}

/// What a server used as it was filled: a line for each value.
fn depths(figure: &Value, charts: &mut BTreeMap<String, Chart>) {
    let sound = sound_runs(figure);
    let Some(run) = sound.iter().find(|run| run.get("depths").is_some()) else { return };
    for (what, name, member, unit) in [
        ("memory", "resident memory", "resident_bytes", 1e6),
        ("disk", "files", "disk_bytes", 1e6),
        ("times", "filled in, PUSHBs of 1,000", "fill_us", 1.0),
        ("times", "PUSH, FETCH and ACK", "cycle_us", 1.0),
        ("times", "PUSH, FETCH and ACK: the server's processor time", "cycle_processor_us", 1.0),
    ] {
        let number = |depth: &Value, member: &str| depth[member].as_f64().unwrap();
        let point = |depth: &Value| (number(depth, "jobs") / 1e6, number(depth, member) / unit);
        let words = ["depth", text(figure, "scenario"), text(figure, "network"), what];
        let chart = charts.entry(id(&words)).or_default();
        chart.lines.insert(name.into(), list(run, "depths").iter().map(point).collect());
    }
}

/// Ours against the baseline, in the order of the figures.
pub(super) fn ratios(report: &Value) -> Vec<Ratio> {
    let figures = list(report, "figures");
    let ratio = |ours: &Value| {
        let theirs = figures.iter().find(|theirs| {
            theirs["via"] == "crate"
                && theirs["network"] == ours["network"]
                && theirs["scenario"] == ours["scenario"]
        })?;
        let of = |figure: &Value, member: &str| -> Option<[f64; 3]> {
            let spread = figure["summary"].get(member)?;
            Some(["min", "median", "max"].map(|end| spread[end].as_f64().unwrap()))
        };
        let (good, bad) = if ours["focus"] == "latency" {
            (of(theirs, "p50_us")?, of(ours, "p50_us")?)
        } else {
            (of(ours, "jobs_per_second")?, of(theirs, "jobs_per_second")?)
        };
        if ours["via"] == "crate" || good[1] == 0.0 || bad[1] == 0.0 {
            return None;
        }
        let value = good[1] / bad[1];
        let standing = match value {
            value if value > 1.02 && good[0] > bad[2] => "ahead",
            value if value < 0.98 && good[2] < bad[0] => "behind",
            _ => "level",
        };
        let own = |member: &str| text(ours, member).to_owned();
        let (network, scenario, via) = (own("network"), own("scenario"), own("via"));
        Some(Ratio { network, scenario, via, value, standing })
    };
    figures.iter().filter_map(ratio).collect()
}
