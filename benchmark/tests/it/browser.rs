//! The page in a real browser: every chart is drawn, and its series and points are those of the
//! data.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::skip;

/// Reads the charts back from the library that drew them: the data, and where each point came to
/// lie.
const PROBE: &str = r"
<script>
window.addEventListener('load', () => {
  const found = { charts: {}, rows: document.querySelectorAll('#table tr td:first-child').length,
    warnings: [...document.querySelectorAll('.warning')].map((one) => one.textContent) };
  document.querySelectorAll('canvas').forEach((canvas) => {
    const chart = Chart.getChart(canvas);
    const area = chart.chartArea;
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    found.charts[canvas.id] = {
      inked: pixels.some((value) => value !== 0),
      series: chart.data.datasets.map((dataset, at) => ({
        name: dataset.label,
        points: dataset.data.map((point) => [point.x, point.y]),
        // The value that stands where the point was drawn.
        drawn: chart.getDatasetMeta(at).data.map((element) => [chart.scales.x.getValueForPixel(element.x), chart.scales.y.getValueForPixel(element.y)]),
        inside: chart.getDatasetMeta(at).data.every((element) =>
          element.x >= area.left - 1 && element.x <= area.right + 1 && element.y >= area.top - 1 && element.y <= area.bottom + 1),
      })),
    };
  });
  const result = document.createElement('pre');
  result.id = 'probe';
  result.textContent = JSON.stringify(found);
  document.body.appendChild(result);
});
</script>
";

/// What the charts must show, made from the report alone.
fn expected(report: &Value) -> BTreeMap<String, BTreeMap<String, Vec<(f64, f64)>>> {
    let label = |via: &str| match via {
        "http" => "Work Factory, over HTTP",
        "link" => "Work Factory, bare link",
        "worker" => "Work Factory, worker",
        "crate" => "faktory crate",
        other => panic!("{other}"),
    };
    let round_trips: BTreeMap<&str, f64> = report["networks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|network| {
            (network["name"].as_str().unwrap(), network["round_trip_ms"].as_f64().unwrap())
        })
        .collect();
    let mut charts: BTreeMap<String, BTreeMap<String, Vec<(f64, f64)>>> = BTreeMap::new();
    for figure in report["figures"].as_array().unwrap() {
        let text = |member: &str| figure[member].as_str().unwrap();
        let summary = &figure["summary"];
        if summary.is_null() {
            continue;
        }
        let (id, points) = if text("focus") == "latency" {
            let place = |percentile: f64| -(1.0 - (percentile / 100.0).min(0.99999)).log10();
            let points = summary["distribution"].as_array().unwrap();
            let points = points
                .iter()
                .map(|point| (place(point[0].as_f64().unwrap()), point[1].as_f64().unwrap() / 1e3))
                .collect();
            (format!("latency-{}-{}", text("scenario"), text("network")), points)
        } else {
            let point = (
                round_trips[text("network")],
                summary["jobs_per_second"]["median"].as_f64().unwrap(),
            );
            (format!("throughput-{}", text("scenario")), vec![point])
        };
        charts.entry(id).or_default().entry(label(text("via")).into()).or_default().extend(points);
    }
    for series in charts.values_mut() {
        series
            .values_mut()
            .for_each(|points| points.sort_by(|one, other| one.partial_cmp(other).unwrap()));
    }
    charts
}

fn close(one: f64, other: f64, tolerance: f64) -> bool {
    (one - other).abs() <= tolerance * other.abs().max(1e-9)
}

/// Opens a page in Chromium, without network, and compares what it shows with the report.
pub(crate) fn page_shows_the_report(page: &Path, report: &Value) {
    let Some(found) = open(page) else { return };
    let mut expected = expected(report);
    let charts = found["charts"].as_object().unwrap();
    let ratios = charts.get("ratios").expect("ours against the baseline");
    assert_eq!(ratios["inked"], json!(true));
    check_ratios(ratios, report);
    for (id, chart) in charts.iter().filter(|(id, _)| *id != "ratios") {
        let mut series = expected.remove(id).unwrap_or_else(|| panic!("{id} is not of the report"));
        assert_eq!(chart["inked"], json!(true), "{id} is empty");
        for shown in chart["series"].as_array().unwrap() {
            let name = shown["name"].as_str().unwrap();
            let points =
                series.remove(name).unwrap_or_else(|| panic!("{id}: {name} is not of the report"));
            let pairs = |member: &str| -> Vec<(f64, f64)> {
                let list = shown[member].as_array().unwrap();
                list.iter()
                    .map(|pair| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap()))
                    .collect()
            };
            let (data, drawn) = (pairs("points"), pairs("drawn"));
            assert_eq!((data.len(), drawn.len()), (points.len(), points.len()), "{id}: {name}");
            assert_eq!(shown["inside"], json!(true), "{id}: {name}");
            for ((wanted, data), drawn) in points.iter().zip(&data).zip(&drawn) {
                assert!(
                    close(data.0, wanted.0, 1e-9) && close(data.1, wanted.1, 1e-9),
                    "{id}: {name}: {data:?}, {wanted:?}"
                );
                // A pixel is worth some per cent on a logarithmic axis.
                assert!(
                    (drawn.0 - wanted.0).abs() < 0.05 * wanted.0.abs().max(1.0)
                        && close(drawn.1, wanted.1, 0.05),
                    "{id}: {drawn:?}, {wanted:?}"
                );
            }
        }
        assert!(series.is_empty(), "{id} lacks {series:?}");
    }
    assert!(expected.is_empty(), "the page lacks {:?}", expected.keys());
    assert_eq!(
        found["rows"].as_u64().unwrap() as usize,
        report["figures"].as_array().unwrap().len()
    );
    for warning in report["warnings"].as_array().unwrap() {
        assert!(found["warnings"].as_array().unwrap().contains(warning), "{warning}");
    }
}

/// Bars are ratios of what the report says.
fn check_ratios(chart: &Value, report: &Value) {
    let summary = |network: &str, scenario: &str, via: &str| {
        let figures = report["figures"].as_array().unwrap();
        let fits = |figure: &&Value| {
            figure["network"] == network && figure["scenario"] == scenario && figure["via"] == via
        };
        figures.iter().find(fits).map(|figure| (figure["focus"].clone(), figure["summary"].clone()))
    };
    let mut wanted: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for figure in report["figures"].as_array().unwrap() {
        let text = |member: &str| figure[member].as_str().unwrap();
        let (Some((focus, ours)), Some((_, theirs))) = (
            summary(text("network"), text("scenario"), text("via")),
            summary(text("network"), text("scenario"), "crate"),
        ) else {
            continue;
        };
        if text("via") == "crate" || ours.is_null() || theirs.is_null() {
            continue;
        }
        let of = |summary: &Value, name: &str| summary[name]["median"].as_f64().unwrap();
        let ratio = if focus == "latency" {
            of(&theirs, "p50_us") / of(&ours, "p50_us")
        } else {
            of(&ours, "jobs_per_second") / of(&theirs, "jobs_per_second")
        };
        wanted.entry(text("network").into()).or_default().push(ratio);
    }
    for series in chart["series"].as_array().unwrap() {
        let mut shown: Vec<f64> = series["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| point[1].as_f64().unwrap())
            .collect();
        let mut wanted = wanted.remove(series["name"].as_str().unwrap()).unwrap();
        shown.sort_by(f64::total_cmp);
        wanted.sort_by(f64::total_cmp);
        assert!(
            shown.len() == wanted.len()
                && shown.iter().zip(&wanted).all(|(one, other)| close(*one, *other, 1e-9)),
            "{shown:?} {wanted:?}"
        );
    }
    assert!(wanted.is_empty());
}

fn open(page: &Path) -> Option<Value> {
    let folder = tempfile::tempdir().unwrap();
    let probed = folder.path().join("probed.html");
    let text = std::fs::read_to_string(page).unwrap();
    for outside in ["src=\"http", "url(http", "@import", "sourceMappingURL"] {
        assert!(!text.contains(outside), "the page asks for {outside}");
    }
    std::fs::write(&probed, text.replace("</body>", &format!("{PROBE}</body>"))).unwrap();
    let chromium = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--window-size=1300,1600",
        ])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("file://{}", probed.display()))
        .output();
    let output = match chromium {
        Ok(output) => output,
        Err(error) => {
            skip(&format!("chromium can't be run: {error}"));
            return None;
        }
    };
    let dom = String::from_utf8_lossy(&output.stdout);
    let found =
        dom.split_once("<pre id=\"probe\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((json, _)) = found else {
        panic!("the page's scripts did not finish: {}", String::from_utf8_lossy(&output.stderr))
    };
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some(serde_json::from_str(&json).unwrap())
}
