//! The crate in `examples/own-jobs`, which is no part of the workspace: its tests pass, its README
//! shows its code, and its programs take and run its jobs as the README says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{TestProcess, eventually};
use tokio::process::Command;

use crate::readme::commands;

const README: &str = include_str!("../../../../examples/own-jobs/README.md");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/own-jobs")
}

/// Runs cargo in the crate, with the workspace's lock file and build folder, so that dependencies
/// are the same and built once.
fn cargo(arguments: &[&str]) -> String {
    let root = folder().join("../..");
    std::fs::copy(root.join("Cargo.lock"), folder().join("Cargo.lock")).unwrap();
    let output = std::process::Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(folder())
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "cargo {arguments:?}: {said}");
    said
}

/// The build folder of the tested binary.
fn target() -> PathBuf {
    let profile = Path::new(env!("CARGO_BIN_EXE_work-factory")).parent().unwrap();
    profile.parent().unwrap().to_owned()
}

#[test]
fn the_readme_of_the_example_shows_its_code() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let sources = [read("src/lib.rs"), read("src/main.rs")].concat();
    let blocks: Vec<&str> =
        README.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        assert!(sources.contains(block), "not in the sources:\n{block}");
    }
}

#[tokio::test]
async fn a_crate_outside_of_the_workspace_has_a_job_type_of_its_own() {
    let tests = cargo(&["test", "--quiet", "--lib"]);
    assert!(tests.contains("3 passed"), "{tests}");
    cargo(&["build", "--quiet", "--bins"]);
    let program = |name: &str| target().join("debug").join(name);

    let data = tempfile::tempdir().unwrap();
    let variables =
        [("BROKER_DATA_DIR", data.path().to_str().unwrap()), ("BROKER_BIND_ADDR", "127.0.0.1:0")];
    let broker = TestProcess::start(program("own-jobs"), &["broker"], &variables);
    let url = format!("tcp://{}", broker.address_on("  broker ").await);
    let variables = [("FAKTORY_URL", url.as_str()), ("BIND_ADDR", "127.0.0.1:0")];
    let mut api = TestProcess::start(program("own-api"), &[], &variables);
    let mut worker = TestProcess::start(program("own-worker"), &[], &variables);
    let line = api.line_with("the API listens").await;
    let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    eventually("ready", Duration::from_secs(30), || async {
        let answer = testkit::http::get(address.parse().unwrap(), "/ready").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    for command in commands(README) {
        let status = command.split_once(" # ").map_or("202", |(_, status)| status);
        let run = command
            .replace("127.0.0.1:3000", &address)
            .replace("curl ", "curl -sS -w '%{http_code}' --max-time 20 ");
        let output = Command::new("bash").args(["-c", &run]).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.ends_with(status), "{command}: {said}");
    }
    let line = worker.line_with("job done").await;
    assert!(line.contains(r#"job_type=remind result={"attempt":1,"bytes":3}"#), "{line}");
    for process in [&mut api, &mut worker] {
        process.signal("TERM").await;
        assert_eq!(process.exit_code().await, Some(0));
    }
}
