//! The short commands of `benchmark/README.md`, exactly as written there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{TestApi, WorkServer};

use crate::binary;
use crate::link::is_allowed;

const README: &str = include_str!("../../README.md");

/// The lines of the `sh` blocks, with the built binary in place of cargo.
fn commands() -> Vec<String> {
    let blocks = README.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let binary = env!("CARGO_BIN_EXE_benchmark");
    blocks
        .flat_map(str::lines)
        .map(|line| line.replace("cargo run --release -p benchmark --", binary))
        .collect()
}

fn bash(command: &str, folder: &Path) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-c", command]).current_dir(folder).stdin(Stdio::null());
    bash
}

#[test]
fn reports_are_judged_compared_and_shown_as_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("benchmark/results")).unwrap();
    for name in [
        "README.md",
        "benchmark/results/broker.json",
        "benchmark/results/faktory.json",
        "benchmark/results/gate-enqueue-broker.json",
    ] {
        std::fs::copy(root.join(name), folder.path().join(name)).unwrap();
    }
    let commands: Vec<String> =
        commands().into_iter().filter(|command| !command.contains(" link ")).collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for command in &commands {
        let output = bash(command, folder.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        );
    }
    assert!(folder.path().join("benchmark/results/broker.html").exists());
    let read = |folder: &Path| std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(
        read(folder.path()) == read(&root),
        "the README's table is not that of the committed report"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_on_the_far_side_of_a_link_as_the_readme_says() {
    if !is_allowed() {
        return;
    }
    let links: Vec<String> =
        commands().into_iter().filter(|command| command.contains(" link ")).collect();
    let [health, worker] = links.as_slice() else { panic!("{links:?}") };
    let server = WorkServer::broker().await;
    let api = TestApi::start(server.link()).await;
    api.ready().await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let health = health
        .replace("3000", &api.address().port().to_string())
        .replace("curl ", "curl -sS --fail ");
    let output =
        tokio::task::spawn_blocking(move || bash(&health, &here).output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let worker = worker.replace("7419", &server.link().port.to_string());
    let worker =
        worker.replace("target/release/worker-service", binary("worker-service").to_str().unwrap());
    let worker = bash(&format!("exec {worker}"), Path::new("/"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut worker = Ended(worker);
    let body = serde_json::json!({ "a": 1, "b": 2 }).to_string();
    let posted = testkit::http::post(api.address(), "/jobs/add", body).await.unwrap();
    assert_eq!(posted.status, 202);
    let mut client = server.client().await;
    let begun = std::time::Instant::now();
    while client.info().await.faktory.total_processed < 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no worker ran the job");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Command::new("kill").args(["-TERM", &worker.0.id().to_string()]).status().unwrap();
    worker.0.wait().unwrap();
}

/// A process that is killed when this value is dropped; the worker ends with this process.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
