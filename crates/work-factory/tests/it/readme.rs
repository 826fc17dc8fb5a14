//! The commands and programs of the README and of the guides in `docs`, run as they stand there.
//!
//! Every `curl` line is run against the program, with the port replaced by a free one, and must be
//! answered with success, or with the status that stands behind it as `# 422`. What documents name
//! and list is checked in `documents.rs`.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

const README: &str = include_str!("../../../../README.md");
const JOBS: &str = include_str!("../../../../docs/jobs.md");
const SECURITY: &str = include_str!("../../../../docs/security.md");
const DEPLOYMENT: &str = include_str!("../../../../docs/deployment.md");

/// The shell commands of all these documents.
fn all_commands() -> Vec<String> {
    // `benchmark/tests/it/guide.rs` runs the other commands of this guide.
    let (_, parts) = DEPLOYMENT.split_once("\n## In parts\n").unwrap();
    let parts = parts.split("\n## ").next().unwrap();
    [README, JOBS, SECURITY, parts].into_iter().flat_map(commands).collect()
}

/// The shell commands in the `sh` blocks of a document; a line that ends in a backslash goes on in
/// the next.
pub(crate) fn commands(document: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut in_block = false;
    let mut pending = String::new();
    for line in document.lines() {
        match line.trim() {
            "```sh" => in_block = true,
            "```" => in_block = false,
            text if in_block && !text.is_empty() && !text.starts_with('#') => {
                pending.push_str(text.strip_suffix('\\').unwrap_or(text));
                if text.ends_with('\\') {
                    pending.push(' ');
                } else {
                    commands.push(std::mem::take(&mut pending));
                }
            }
            _ => {}
        }
    }
    commands
}

#[tokio::test]
async fn every_curl_line_of_the_documents_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let process = crate::binary::start(folder.path(), &[]);
    let address = process.address_on("  API ").await;
    testkit::eventually("ready", std::time::Duration::from_secs(20), || async move {
        testkit::http::get(address, "/ready")
            .await
            .ok()
            .filter(|answer| answer.status == 200)
            .map(|_| ())
    })
    .await;
    let curls: Vec<String> =
        all_commands().into_iter().filter(|command| command.contains("curl ")).collect();
    assert!(curls.len() >= 10, "{curls:?}");
    for command in curls {
        let refused = command.split_once(" # ").map(|(_, status)| status);
        let fails = if refused.is_some() { "-w %{http_code}" } else { "--fail-with-body" };
        let run = command
            .replace("127.0.0.1:3000", &address.to_string())
            .replace("curl ", &format!("curl -sS {fails} --max-time 20 "));
        let output =
            Command::new("bash").args(["-c", &run]).stdin(Stdio::null()).output().await.unwrap();
        let is_as_told =
            refused.is_none_or(|status| output.stdout.ends_with(status.trim().as_bytes()));
        assert!(
            output.status.success() && is_as_told,
            "{command}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // What the README promises to see.
    process.line_with("result=3").await;
}

#[test]
fn the_commands_that_are_not_run_here_are_run_elsewhere() {
    let others: Vec<String> =
        all_commands().into_iter().filter(|command| !command.contains("curl ")).collect();
    for command in &others {
        // Each is run elsewhere in these tests: the commands and profiles by the binary.
        let known = ["cargo run --release", "cargo build --release --workspace", "openssl req"];
        let command = command.strip_prefix("KEY=$(").unwrap_or(command);
        let bare = command
            .split(' ')
            .filter(|word| !word.starts_with("FAKTORY_URL=") && !word.starts_with("WORKER_QUEUES="))
            .collect::<Vec<_>>()
            .join(" ");
        if bare.starts_with("head ") {
            let run = std::process::Command::new("bash").args(["-c", &bare]).output().unwrap();
            assert!(run.status.success() && !run.stdout.is_empty(), "{bare:?}: {run:?}");
            continue;
        }
        assert!(known.iter().any(|start| bare.starts_with(start)), "nobody runs {command:?}");
    }
}

/// The README's worker is an example that is compiled, and runs the job that the README posts.
#[tokio::test]
async fn the_worker_of_the_readme_runs_the_job_of_the_readme() {
    let code = README.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let example = include_str!("../../../worker-service/examples/own_worker.rs");
    assert!(example.ends_with(&format!("\n\n{code}")), "the README's worker is not the example");

    let folder = tempfile::tempdir().unwrap();
    let process = crate::binary::start(folder.path(), &[]);
    let broker = process.address_on("  broker ").await;
    let api = process.address_on("  API ").await;
    let command = commands(README).into_iter().find(|line| line.contains("send_mail")).unwrap();
    let post = command
        .replace("127.0.0.1:3000", &api.to_string())
        .replace("curl ", "curl -sS --fail-with-body --retry 20 --retry-all-errors ");
    let posted = Command::new("bash").args(["-c", &post]).output().await.unwrap();
    assert!(posted.status.success(), "{}", String::from_utf8_lossy(&posted.stderr));

    let url = format!("tcp://{broker}");
    let variables = [("FAKTORY_URL", url.as_str()), ("WORKER_QUEUES", "mail")];
    let mut worker = testkit::TestProcess::start(own_worker(), &[], &variables);
    let line = worker.line_with("own_worker: sending").await;
    assert!(line.contains("ann@example.org"), "{line}");
    worker.signal("TERM").await;
    assert_eq!(worker.exit_code().await, Some(0));
}

/// The example as it is now, built with the profile and into the folder of the tested binary.
fn own_worker() -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_work-factory")).parent().unwrap();
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "worker-service", "--example", "own_worker"]);
    build.arg("--target-dir").arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    folder.join("examples/own_worker")
}

/// The steps for a job type of one's own, done in a copy of the crate: a file and a line, and the
/// job runs.
#[test]
fn the_job_type_of_the_guide_is_a_file_and_a_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(root.join(name))
            .arg(folder.path().join(name))
            .status();
        assert!(copied.unwrap().success(), "{name}");
    };
    std::fs::create_dir(folder.path().join("crates")).unwrap();
    ["Cargo.toml", "Cargo.lock", "crates/job-types", "crates/faktory-wire"]
        .into_iter()
        .for_each(copy);
    // A workspace of these two alone.
    let manifest = folder.path().join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let text = text.lines().filter(|line| !line.starts_with("default-members")).map(|line| {
        match line.starts_with("members") {
            true => "members = [\"crates/job-types\", \"crates/faktory-wire\"]",
            false => line,
        }
    });
    std::fs::write(&manifest, text.collect::<Vec<_>>().join("\n")).unwrap();
    let (_, code) = JOBS.split_once("```rust\n").unwrap();
    let code = code.split("```").next().unwrap();
    let run = "#[cfg(test)]\n#[test]\nfn runs() {\n    \
               assert_eq!(super::tests::run(\"power\", \"[2,10]\").unwrap(), \"1024\");\n}\n";
    std::fs::write(
        folder.path().join("crates/job-types/src/jobs/power.rs"),
        format!("{code}\n{run}"),
    )
    .unwrap();
    let list = folder.path().join("crates/job-types/src/jobs.rs");
    let text = std::fs::read_to_string(&list).unwrap();
    assert!(JOBS.contains("the line `power::Power,` in the list"));
    std::fs::write(&list, text.replace("jobs! {\n", "jobs! {\n    power::Power,\n")).unwrap();
    let output = std::process::Command::new(env!("CARGO"))
        .args(["test", "--offline", "--lib", "-p", "job-types", "power"])
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", root.join("target/readme"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The guide's certificate, made by its command, is one that the services take.
#[tokio::test]
async fn the_certificate_of_the_guide_is_made_and_taken() {
    if Command::new("openssl").arg("version").output().await.is_err() {
        assert!(std::env::var_os("CI").is_none(), "openssl is missing");
        return println!("SKIPPED: openssl is missing");
    }
    let folder = tempfile::tempdir().unwrap();
    let command =
        commands(SECURITY).into_iter().find(|command| command.starts_with("openssl ")).unwrap();
    let output = Command::new("bash")
        .args(["-c", &command])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (certificate, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    let loaded = service_runtime::ServerTls::load(&certificate, &key);
    assert!(loaded.is_ok(), "{loaded:?}");

    // Client and server as in the guide: the certificate is its own authority.
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let tls = [("BROKER_TLS_CERT_FILE", certificate), ("BROKER_TLS_KEY_FILE", key)];
    let broker = crate::binary::command(&["broker"], folder.path(), &tls);
    let url = format!("tcp+tls://{}", broker.address_on("  broker ").await);
    let link = [("FAKTORY_URL", url.as_str()), ("FAKTORY_TLS_CA_FILE", certificate)];
    let worker = crate::binary::command(&["worker"], folder.path(), &link);
    worker.line_with("connected to the work server").await;
}
