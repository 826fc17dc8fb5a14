//! The page in a real browser: every chart is drawn, its lines, bars and numbers are those of the
//! report, and it can be read.

mod chromium;
mod expected;
mod looks;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::benchmark;
use chromium::Scheme;
use expected::{Chart, charts, list, ratios, samples, text};

/// Reports with bars, with lines and with timelines, which are opened in the dark too.
const OPENED_IN_THE_DARK: [&str; 3] = ["broker", "gate-tuning-broker", "gate-endings-faktory"];
/// All committed reports together, in bytes.
const MOST_BYTES: u64 = 2_500_000;

fn close(one: f64, other: f64, tolerance: f64) -> bool {
    (one - other).abs() <= tolerance * other.abs().max(1e-9)
}

/// Opens a page and compares what it shows with the report.
pub(crate) fn page_shows_the_report(page: &Path, report: &Value) {
    let page = std::fs::read_to_string(page).unwrap();
    check(&page, report, Scheme::Light);
}

fn check(page: &str, report: &Value, scheme: Scheme) {
    let Some(page) = chromium::open(page, scheme) else { return };
    looks::are_good(&page, scheme);
    let mut expected = charts(report);
    for figure in list(&page, "figures") {
        let id = text(figure, "id");
        let wanted = expected.remove(id).unwrap_or_else(|| panic!("{id} is not of the report"));
        if figure["lines"].is_null() {
            check_bars(id, list(figure, "bars"), &wanted);
        } else {
            check_lines(id, list(&figure["lines"], "series"), wanted);
        }
    }
    assert!(expected.is_empty(), "the page lacks {:?}", expected.keys());
    check_standings(&page, report);
    check_rows(&page, report);
    for warning in list(report, "warnings") {
        assert!(list(&page, "warnings").contains(warning), "{warning}");
    }
}

fn check_lines(id: &str, shown: &[Value], mut wanted: Chart) {
    for series in shown {
        let name = text(series, "name");
        let points =
            wanted.lines.remove(name).unwrap_or_else(|| panic!("{id}: {name} is not wanted"));
        let pairs = |member: &str| -> Vec<(f64, f64)> {
            let pair = |pair: &Value| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
            list(series, member).iter().map(pair).collect()
        };
        let (data, drawn) = (pairs("points"), pairs("drawn"));
        assert_eq!((data.len(), drawn.len()), (points.len(), points.len()), "{id}: {name}");
        assert_eq!(series["inside"], json!(true), "{id}: {name}");
        let most = points.iter().map(|(_, y)| *y).fold(0.0, f64::max);
        for ((wanted, data), drawn) in points.iter().zip(&data).zip(&drawn) {
            assert!(
                close(data.0, wanted.0, 1e-9) && close(data.1, wanted.1, 1e-9),
                "{id}: {name}: {data:?}, {wanted:?}"
            );
            // A pixel is worth some per cent on a logarithmic axis.
            assert!(
                (drawn.0 - wanted.0).abs() < 0.05 * wanted.0.abs().max(1.0)
                    && (drawn.1 - wanted.1).abs() < 0.05 * wanted.1.max(0.1 * most),
                "{id}: {drawn:?}, {wanted:?}"
            );
        }
    }
    assert!(wanted.lines.is_empty() && wanted.bars.is_empty(), "{id} lacks {wanted:?}");
}

/// Bars are as long as their values, in words and in pixels.
fn check_bars(id: &str, shown: &[Value], wanted: &Chart) {
    assert!(wanted.lines.is_empty(), "{id}");
    let mut left = wanted.bars.clone();
    let bars: Vec<(f64, f64, f64)> = shown
        .iter()
        .map(|bar| {
            let value = spoken(text(bar, "text"));
            let is_wanted = |(name, look, wanted): &(String, String, f64)| {
                (name.as_str(), look.as_str()) == (text(bar, "name"), text(bar, "look"))
                    && close(value, *wanted, 0.01 + 0.005 / wanted)
            };
            let found = left.iter().position(is_wanted);
            let found = found.unwrap_or_else(|| panic!("{id}: {bar} is not of {left:?}"));
            let (.., value) = left.remove(found);
            (value, bar["from"].as_f64().unwrap(), bar["to"].as_f64().unwrap())
        })
        .collect();
    assert!(left.is_empty(), "{id} lacks {left:?}");
    let most = bars.iter().map(|(value, ..)| *value).fold(0.0, f64::max);
    for (value, from, to) in bars {
        assert!(from > -0.01 && from < to && to < 1.02, "{id}: {from} to {to}");
        if id.starts_with("throughput") {
            assert!(from.abs() < 0.001 && (to - value / most).abs() < 0.02, "{id}: {value}, {to}");
        }
    }
}

/// A value as the page writes it: `1,234 jobs/s`, `0.52 ×`.
fn spoken(text: &str) -> f64 {
    text.split(' ').next().unwrap().replace(',', "").parse().unwrap()
}

/// A loss is shown as one, everywhere, and the strongest and the weakest result come first.
fn check_standings(page: &Value, report: &Value) {
    let ratios = ratios(report);
    for ratio in &ratios {
        let figures = list(page, "figures");
        let words = format!("ratios-{}", ratio.network);
        let id = words.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
        let chart = figures.iter().find(|figure| text(figure, "id") == id).unwrap();
        let name = format!("{} · {}", ratio.scenario, ratio.via);
        let bar = list(chart, "bars").iter().find(|bar| text(bar, "name") == name).unwrap();
        assert_eq!(text(bar, "look"), ratio.standing, "{name}: {}", ratio.value);
        let legend = list(chart, "legend").iter().find(|entry| entry["look"] == bar["look"]);
        let legend = legend.expect("the legend explains each bar");
        assert_eq!(legend["colour"], bar["colour"], "{name}");
    }
    let look = |name: &str| {
        let legends = list(page, "figures").iter().flat_map(|figure| list(figure, "legend"));
        let mut looks = legends.filter(|entry| text(entry, "look") == name);
        looks.next().map(|entry| text(entry, "colour").to_owned())
    };
    assert!(ratios.is_empty() || look("ahead") != look("behind"));
    let values = ratios.iter().map(|ratio| ratio.value);
    let (most, least) = (values.clone().reduce(f64::max), values.reduce(f64::min));
    let tiles = list(page, "tiles");
    if ratios.len() > 1 {
        for (at, over, value) in [(0, "strongest result", most), (1, "weakest result", least)] {
            let (tile, value) = (&tiles[at], value.unwrap());
            assert!(text(tile, "over").starts_with(over), "{tile}");
            assert!(
                close(spoken(text(tile, "value")), value, 0.02 + 0.0005 / value.abs()),
                "{tile}: {value}"
            );
            let ratio = ratios.iter().find(|ratio| ratio.value == value).unwrap();
            assert_eq!(text(tile, "standing"), ratio.standing, "{tile}");
        }
    }
    assert!(!tiles.is_empty() || list(report, "figures").iter().all(|figure| samples(figure) > 0));
}

/// Every figure has its row, and no percentile that its samples can't give.
fn check_rows(page: &Value, report: &Value) {
    let figures = list(report, "figures");
    let rows = list(page, "rows");
    assert_eq!(rows.len(), figures.len());
    let ratios = ratios(report);
    for figure in figures {
        let is_of = |row: &&Value| {
            row["network"] == figure["network"]
                && row["scenario"] == figure["scenario"]
                && row["cells"][0] == figure["via"]
        };
        let row = rows.iter().find(is_of).unwrap_or_else(|| panic!("{figure} has no row"));
        let is_given = !figure["summary"].is_null()
            && samples(figure) >= 100
            && figure["summary"]["p99_us"]["median"].as_f64().unwrap() > 0.0;
        assert_eq!(row["cells"][4] != "–", is_given, "{row}: {} samples", samples(figure));
        let ratio = ratios.iter().find(|ratio| {
            ratio.network == figure["network"]
                && ratio.scenario == figure["scenario"]
                && ratio.via == figure["via"]
        });
        assert_eq!(text(row, "standing"), ratio.map_or("", |ratio| ratio.standing), "{row}");
    }
}

/// The committed reports. Pages that somebody has drawn beside them are no reports.
fn committed() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_report = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "json");
    let mut reports: Vec<PathBuf> = files.filter(is_report).collect();
    reports.sort();
    assert!(reports.len() >= 17, "{reports:?}");
    reports
}

#[test]
fn every_committed_report_has_a_page_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    for file in committed() {
        let drawn = benchmark().arg("page").args([&file, &page]).output().unwrap();
        assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
        let report = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let page = std::fs::read_to_string(&page).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        eprintln!("{name}");
        check(&page, &report, Scheme::Light);
        if OPENED_IN_THE_DARK.contains(&name) {
            check(&page, &report, Scheme::Dark);
        }
    }
}

#[test]
fn committed_reports_are_small_and_their_pages_are_not_committed() {
    let ignored = include_str!("../../../.gitignore");
    assert!(ignored.lines().any(|line| line == "/benchmark/results/*.html"), "{ignored}");
    let bytes: u64 = committed().iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes < MOST_BYTES, "{bytes}");
}
