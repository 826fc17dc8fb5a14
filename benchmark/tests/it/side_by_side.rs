//! The gates that put servers side by side, with very little load: every answer comes, and the
//! servers hold what the answers say. No thresholds.

use serde_json::Value;

use crate::benchmark;

/// The figures of a gate's report; the gate itself may be missed.
fn figures(gate: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let output = benchmark()
        .arg("gate")
        .args(gate)
        .args(["--little", "--quiet", "--output"])
        .arg(folder.path())
        .env_remove("FAKTORY_BIN")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let text = std::fs::read_to_string(folder.path().join("report.json"))
        .unwrap_or_else(|error| panic!("{error}: {said}"));
    let report: Value = serde_json::from_str(&text).unwrap();
    report["figures"].as_array().unwrap().clone()
}

/// Other tests on the same machine may make a run void; nothing else may fail it.
fn all_arrived(figures: &[Value], network: &str) -> usize {
    let of_it: Vec<&Value> = figures.iter().filter(|figure| figure["network"] == network).collect();
    for figure in &of_it {
        let runs = figure["runs"].as_array().unwrap();
        assert!(!runs.is_empty(), "{figure}");
        for run in runs {
            assert_eq!(run["failures"].as_array().map(Vec::len), Some(0), "{figure}");
            assert_eq!(run["counts"]["stored"], run["counts"]["arrived"], "{figure}");
        }
    }
    of_it.len()
}

#[test]
fn the_broker_and_the_null_server_answer_everything_beside_faktorys_committed_figures() {
    let figures = figures(&["broker"]);
    for (network, count) in [("broker", 5), ("null", 5), ("faktory", 5), ("disk", 1)] {
        assert_eq!(all_arrived(&figures, network), count, "{network}");
    }
}

#[test]
fn a_deep_and_a_shallow_broker_hold_what_they_answered_and_after_sigkill_too() {
    let scenarios = "fill,push,push-many,cycle,cycle-many,restart,beside-nothing,beside-remove";
    let figures = figures(&["broker-depth", "--jobs", "12345", "--scenario", scenarios]);
    assert_eq!((all_arrived(&figures, "shallow"), all_arrived(&figures, "deep")), (4, 6));
    let filled = figures.iter().find(|figure| figure["scenario"] == "fill").unwrap();
    let depths = filled["runs"][0]["depths"].as_array().unwrap();
    assert_eq!(depths.last().unwrap()["jobs"], 12_345);
}
