//! Every scenario with little load: each works, and every job arrives or runs once. No thresholds.
//! The page of the same run is then opened in a browser.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::{benchmark, browser, skip};

fn run(arguments: &[&str], output: &Path) -> (Value, String) {
    let result = benchmark()
        .args(["--little", "--quiet", "--output"])
        .arg(output)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&result.stderr).into_owned();
    let text = std::fs::read_to_string(output.join("report.json"))
        .unwrap_or_else(|error| panic!("{error}: {said}"));
    let report: Value = serde_json::from_str(&text).unwrap();
    // Other tests on the same machine may make a measurement void; nothing else may fail it.
    for figure in report["figures"].as_array().unwrap() {
        let runs = figure["runs"].as_array().unwrap();
        assert!(!runs.is_empty(), "{figure}");
        for run in runs {
            assert_eq!(run["failures"].as_array().map(Vec::len), Some(0), "{figure}\n{said}");
            let counts = &run["counts"];
            assert_eq!(counts["stored"], counts["arrived"], "{figure}");
            assert!(counts["stored"].as_u64().unwrap() > 0, "{figure}");
        }
    }
    let figures = report["figures"].as_array().unwrap();
    let is_void = |figure: &Value| figure["summary"].is_null();
    assert!(result.status.success() || figures.iter().any(is_void), "{said}");
    // A product that answers too late is no busy machine: some way of each scenario is measured.
    for scenario in names(&report, "scenario") {
        let mut of_it = figures.iter().filter(|figure| figure["scenario"] == scenario.as_str());
        assert!(of_it.any(|figure| !is_void(figure)), "{scenario}\n{said}");
    }
    (report, said)
}

fn names(report: &Value, member: &str) -> BTreeSet<String> {
    report["figures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|figure| figure[member].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_scenario_works_without_lost_or_doubled_jobs_and_the_page_shows_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let (report, _) = run(&[], folder.path());
    assert_eq!(names(&report, "scenario").len(), 25);
    assert_eq!(
        names(&report, "via"),
        ["crate", "http", "link", "worker"].map(str::to_owned).into()
    );
    assert_eq!(report["figures"].as_array().unwrap().len(), 9 * 3 + 15 * 2 + 2);
    for member in ["processor", "kernel", "default_congestion_control", "build", "faktory_crate"] {
        assert!(!report["machine"][member].as_str().unwrap().is_empty(), "{member}");
    }
    if report["distance"]["kind"] != "namespaces" {
        skip(&format!("no namespaces: {}", report["distance"]));
    }
    browser::page_shows_the_report(&folder.path().join("report.html"), &report);
    page_comparison_and_readme_are_made_of_the_json_alone(folder.path());
}

fn page_comparison_and_readme_are_made_of_the_json_alone(folder: &Path) {
    let said = |arguments: &[&str]| {
        let output = benchmark().args(arguments).current_dir(folder).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    said(&["page", "report.json", "again.html"]);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(read("report.html") == read("again.html"));
    let compared = said(&["compare", "report.json", "report.json"]);
    assert!(
        compared.contains("too few rounds to tell") && compared.contains("1.00 ×"),
        "{compared}"
    );
    // The test removes the report's warnings: a report of a run with little load is refused.
    let mut report: Value = serde_json::from_str(&read("report.json")).unwrap();
    let readme = "before\n<!-- benchmark: begin -->\nold\n<!-- benchmark: end -->\nafter\n";
    std::fs::write(folder.join("README.md"), readme).unwrap();
    let refused = benchmark().args(["readme", "report.json"]).current_dir(folder).output().unwrap();
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("scaled down")
    );
    assert_eq!(read("README.md"), readme);
    report["warnings"] = Value::Array(Vec::new());
    report["figures"].as_array_mut().unwrap().retain(|figure| !figure["summary"].is_null());
    std::fs::write(folder.join("sound.json"), report.to_string()).unwrap();
    said(&["readme", "sound.json"]);
    let readme = read("README.md");
    assert!(
        readme.starts_with("before\n") && readme.ends_with("after\n") && !readme.contains("old"),
        "{readme}"
    );
    assert!(
        readme.contains("one client posts one job at a time (median)")
            && readme.contains("The whole report: `sound.json`"),
        "{readme}"
    );
}

#[test]
fn without_namespaces_a_proxy_makes_the_distance_and_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (report, said) =
        run(&["--proxy", "--network", "lan", "--scenario", "single,work-noop-1"], folder.path());
    assert_eq!(report["distance"]["kind"], "proxy");
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("hides handshakes, slow start and loss")
            && said.contains("hides handshakes"),
        "{warnings} {said}"
    );
    // A post takes the round trip of 10 ms.
    for figure in
        report["figures"].as_array().unwrap().iter().filter(|figure| figure["scenario"] == "single")
    {
        assert!(figure["runs"][0]["latency"]["p50_us"].as_u64().unwrap() >= 10_000, "{figure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_servers_are_measured_over_the_given_network_and_the_password_stays_secret() {
    use testkit::{TestApi, WorkServer, WorkServerKind};
    let server = WorkServer::start_with(WorkServerKind::Broker, Some("a-secret-word")).await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let folder = tempfile::tempdir().unwrap();
    let work_server = format!("tcp://:a-secret-word@{}", server.address());
    let api = format!("http://{}", api.address());
    let path = folder.path().to_owned();
    let (report, said) = tokio::task::spawn_blocking(move || {
        run(
            &[
                "--faktory",
                &work_server,
                "--api",
                &api,
                "--scenario",
                "single,batch-100,work-1ms-15,end-to-end",
            ],
            &path,
        )
    })
    .await
    .unwrap();
    assert_eq!(report["distance"]["kind"], "given");
    assert_eq!(names(&report, "via").len(), 4);
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for text in [report.to_string(), page, said] {
        assert!(!text.contains("a-secret-word"));
    }
    // No queue of the benchmark is left in the given server.
    let connection = faktory_link::Connection::open(&server.link(), None).await.unwrap();
    let info = connection.ask(&faktory_wire::Command::Info).await.unwrap();
    let faktory_wire::Reply::Bulk(json) = &info else { panic!("{info:?}") };
    assert!(!String::from_utf8_lossy(json).contains("benchmark-"), "{info:?}");
}

#[test]
fn a_wrong_argument_is_named_with_the_accepted_values() {
    for (arguments, words) in [
        (&["--scenario", "nonsense"][..], "there is no scenario \"nonsense\"; there are single"),
        (&["--network", "moon"], "there is no network \"moon\"; there are none, local"),
        (&["--via", "post"], "there are http, link, worker, crate and raw"),
        (&["--faktory-bin", "/nowhere/faktory"], "--faktory-bin: /nowhere/faktory can't be found"),
        (&["--faktory", "http://x"], "--faktory:"),
        (&["--duration", "5 parsecs"], "write a time such as 5 (seconds), 5s, 500ms"),
        (&["gate", "nonsense"], "there is no gate \"nonsense\"; there are: baselines"),
        (&["link", "--loss", "2", "--", "true"], "percentage such as 1%"),
        (&["compare", "/nowhere.json", "/nowhere.json"], "failed to read /nowhere.json"),
    ] {
        let result = benchmark().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&result.stderr);
        assert!(!result.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
}
