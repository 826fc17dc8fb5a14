//! The commands that people use on this repository: `cargo xtask test` is the gate, and what CI
//! runs.

use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Commands for working on this repository")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, lints and documentation with warnings denied, and all tests
    Test,
    /// Images built and both compose files brought up with a Docker daemon of its own; Debian, as
    /// root
    Compose,
    /// The Kubernetes manifests against the published schemas; Python and Go
    Manifests,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Test => test(),
        Task::Compose => script("deploy/compose-test.sh"),
        Task::Manifests => script("deploy/kubernetes/check.sh"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a command's own message")]
            {
                eprintln!("xtask: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn test() -> anyhow::Result<()> {
    ensure_component("rustfmt", &["fmt", "--version"])?;
    ensure_component("clippy", &["clippy", "--version"])?;
    cargo("formatting", &["fmt", "--all", "--check"], &[])?;
    format_job_files()?;
    cargo(
        "lints",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        &[],
    )?;
    cargo(
        "documentation",
        &["doc", "--workspace", "--no-deps", "--locked"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    cargo("tests", &["test", "--workspace", "--locked"], &[])
}

fn script(path: &str) -> anyhow::Result<()> {
    let path_here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let status = Command::new("bash")
        .arg(path_here)
        .status()
        .with_context(|| format!("failed to run {path}"))?;
    if !status.success() {
        bail!("{path} failed: see above");
    }
    Ok(())
}

/// The files of the typed jobs are named by a macro, which `cargo fmt` does not look into.
fn format_job_files() -> anyhow::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../job-types/src/jobs");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("failed to read {}", folder.display()))?;
    let files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let status =
        Command::new("rustfmt").args(["--check", "--edition", "2024"]).args(files).status();
    if !status.context("failed to run rustfmt")?.success() {
        bail!("formatting: run rustfmt --edition 2024 crates/job-types/src/jobs/*.rs");
    }
    Ok(())
}

/// A bare toolchain may lack a component.
fn ensure_component(name: &str, probe: &[&str]) -> anyhow::Result<()> {
    let there =
        Command::new("cargo").args(probe).output().is_ok_and(|output| output.status.success());
    if there {
        return Ok(());
    }
    let added = Command::new("rustup").args(["component", "add", name]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("{name} is missing; install it with: rustup component add {name}"),
    }
}

fn cargo(what: &str, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<()> {
    #[expect(clippy::print_stdout, reason = "tells which step runs")]
    {
        println!("== {what}: cargo {}", arguments.join(" "));
    }
    let mut command = Command::new("cargo");
    command.args(arguments).envs(variables.iter().copied());
    let status = command.status().with_context(|| format!("failed to run cargo for {what}"))?;
    if !status.success() {
        bail!("{what}: cargo {} failed", arguments.join(" "));
    }
    Ok(())
}
