//! The README's own commands and tables.
//!
//! Every `curl` line of the README is run against the program, with the port replaced by a free
//! one; what the README shows as the answer's status is what must come.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

const README: &str = include_str!("../../../../README.md");

/// The shell commands in the README's `sh` blocks; a line that ends in a backslash goes on in the
/// next.
fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    let mut in_block = false;
    let mut pending = String::new();
    for line in README.lines() {
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
async fn every_curl_line_of_the_readme_is_accepted() {
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
        commands().into_iter().filter(|command| command.contains("curl ")).collect();
    assert!(curls.len() >= 4, "{curls:?}");
    for command in curls {
        let run = command
            .replace("127.0.0.1:3000", &address.to_string())
            .replace("curl ", "curl -sS --fail-with-body --max-time 20 ");
        let output =
            Command::new("bash").args(["-c", &run]).stdin(Stdio::null()).output().await.unwrap();
        assert!(
            output.status.success(),
            "{command}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // What the README promises to see.
    process.line_with("result=3").await;
}

#[test]
fn the_commands_that_are_not_run_here_are_those_of_the_gate() {
    let others: Vec<String> =
        commands().into_iter().filter(|command| !command.contains("curl ")).collect();
    for command in &others {
        // Each is run elsewhere in these tests (the commands and profiles, by binary), or is the
        // gate itself.
        let known = [
            "cargo run --release",
            "cargo xtask test",
            "cargo build --release --workspace",
            "openssl req",
        ];
        let command = command.strip_prefix("KEY=$(").unwrap_or(command);
        let bare = command
            .split(' ')
            .filter(|word| !word.starts_with("FAKTORY_URL="))
            .collect::<Vec<_>>()
            .join(" ");
        assert!(known.iter().any(|start| bare.starts_with(start)), "nobody runs {command:?}");
    }
}

/// Every block of code in the documents: run by a test, or marked as one that needs what CI's
/// machine lacks, or no code.
#[test]
fn every_block_of_code_is_run_or_marked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = std::process::Command::new("git")
        .args(["ls-files", "*.md"])
        .current_dir(&root)
        .output()
        .unwrap();
    let documents = String::from_utf8(listed.stdout).unwrap();
    assert!(documents.lines().count() > 10, "{documents}");
    for document in documents.lines().filter(|name| !name.contains("/vendor/")) {
        // Who runs what: this file, `benchmark/tests/it/readme.rs`, `benchmark/tests/it/guide.rs`;
        // a library's README is part of its documentation, and its examples are doctests.
        let runs: &[&str] = match document {
            "README.md" => &["sh", "rust"],
            "benchmark/README.md" | "docs/deployment.md" => &["sh"],
            _ if document.starts_with("crates/") && document.matches('/').count() == 2 => {
                &["", "no_run"]
            }
            _ => &[],
        };
        if runs.contains(&"no_run") {
            let source =
                std::fs::read_to_string(root.join(document).with_file_name("src/lib.rs")).unwrap();
            assert!(source.starts_with("#![doc = include_str!(\"../README.md\")]"), "{document}");
        }
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for mark in text.lines().filter_map(|line| line.trim().strip_prefix("```")).step_by(2) {
            assert!(
                runs.contains(&mark) || ["console", "text", "json"].contains(&mark),
                "{document}: nobody runs a block of {mark:?}"
            );
        }
    }
}

#[test]
fn paths_that_documents_mention_exist() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "benchmark/README.md",
        "docs/configuration.md",
        "docs/deployment.md",
        "docs/metrics.md",
        "docs/tuning.md",
    ] {
        let text = std::fs::read_to_string(format!("{root}/{document}")).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = quoted.starts_with("crates/")
                || quoted.starts_with("benchmark/")
                || quoted.starts_with("deploy/")
                || quoted.starts_with("docs/")
                || quoted.starts_with(".env.")
                || quoted.starts_with(".ci/");
            // The README's example of a file that its reader makes.
            let is_example = quoted.ends_with("/power.rs");
            if is_path && !is_example && !quoted.contains(['*', '{', ' ']) {
                let path = quoted.split("::").next().unwrap();
                assert!(
                    std::path::Path::new(root).join(path).exists(),
                    "{document} mentions {path}"
                );
            }
        }
    }
}

/// What the README says of a job type of one's own, done in a copy of the crate: a file and a line,
/// and it runs.
#[test]
fn the_job_of_the_readme_is_a_file_and_a_line() {
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
    let (_, code) = README.split_once("```rust\n").unwrap();
    let code = code.split("```").next().unwrap();
    let run = "#[cfg(test)]\n#[test]\nfn runs() {\n    let job = Power { base: \
               Finite::new(2.0).unwrap(), exponent: Finite::new(10.0).unwrap() };\n    \
               assert_eq!(job.run().unwrap(), \"1024\");\n    \
               assert!(crate::find(\"power\").is_some());\n}\n";
    std::fs::write(
        folder.path().join("crates/job-types/src/jobs/power.rs"),
        format!("{code}\n{run}"),
    )
    .unwrap();
    let list = folder.path().join("crates/job-types/src/jobs.rs");
    let text = std::fs::read_to_string(&list).unwrap();
    assert!(README.contains("the line `power::Power,` in the list"));
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

#[test]
fn the_guide_to_tuning_has_every_variable_and_no_others() {
    let guide = include_str!("../../../../docs/tuning.md");
    let rows = guide.lines().filter(|line| line.starts_with("| `"));
    let named: Vec<&str> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    let known: Vec<&str> = service_runtime::variables().map(|variable| variable.name).collect();
    for name in &known {
        assert!(named.contains(name), "docs/tuning.md says nothing of {name}");
    }
    for name in named {
        assert!(known.contains(&name), "docs/tuning.md: there is no {name}");
    }
}

/// The README's certificate, made by its command, is one that the services take.
#[tokio::test]
async fn the_certificate_of_the_readme_is_made_and_taken() {
    if Command::new("openssl").arg("version").output().await.is_err() {
        return println!("SKIPPED: openssl is missing");
    }
    let folder = tempfile::tempdir().unwrap();
    let command = commands().into_iter().find(|command| command.starts_with("openssl ")).unwrap();
    let output = Command::new("bash")
        .args(["-c", &command])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let loaded = service_runtime::ServerTls::load(
        &folder.path().join("server.pem"),
        &folder.path().join("server.key"),
    );
    assert!(loaded.is_ok(), "{loaded:?}");
}
