//! The gate: everything that must pass before a change lands, step by step. Where a tool is
//! missing, it is installed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::steps::{cargo, none, repository, say};
use crate::{columns, layout};

/// The release of cargo-deny that the gate runs.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn test() -> anyhow::Result<()> {
    ensure_component("rustfmt", &["fmt", "--version"])?;
    ensure_component("clippy", &["clippy", "--version"])?;
    cargo("formatting", &["fmt", "--all", "--check"], &[])?;
    let example = ["fmt", "--manifest-path", "examples/own-jobs/Cargo.toml", "--check"];
    cargo("formatting of the example", &example, &[])?;
    format_job_files()?;
    say("== lines and layout");
    columns::faults(&repository()).and_then(none)?;
    layout::faults(&repository()).and_then(none)?;
    deny()?;
    let lints = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    cargo("lints", &lints, &[])?;
    let documentation = ["doc", "--workspace", "--no-deps", "--locked"];
    cargo("documentation", &documentation, &[("RUSTDOCFLAGS", "-D warnings")])?;
    cargo("tests", &["test", "--workspace", "--locked"], &[])
}

/// Licenses, sources and versions of all dependencies, as `deny.toml` allows them. Known
/// vulnerabilities are not looked for: their list is in no package registry.
pub(crate) fn deny() -> anyhow::Result<()> {
    let folder = repository().join("target/tools");
    let program = folder.join("bin/cargo-deny");
    let is_there = Command::new(&program)
        .arg("--version")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(CARGO_DENY));
    if !is_there {
        let folder = folder.to_string_lossy();
        let install = [
            "install",
            "cargo-deny",
            "--version",
            CARGO_DENY,
            "--locked",
            "--no-default-features",
            "--root",
            &folder,
        ];
        cargo("cargo-deny", &install, &[])?;
    }
    say("== dependencies: cargo deny check bans licenses sources");
    let status = Command::new(&program)
        .args(["check", "bans", "licenses", "sources"])
        .current_dir(repository())
        .status()
        .context("failed to run cargo-deny")?;
    if !status.success() {
        bail!("cargo-deny found what deny.toml does not allow: see above");
    }
    Ok(())
}

/// Writes the generated documents anew.
pub(crate) fn docs() -> anyhow::Result<()> {
    let example = ["run", "--quiet", "-p", "service-runtime", "--example", "documents", "--"];
    let folder = repository().join("docs");
    let folder = folder.to_string_lossy();
    cargo("documents", &[&example[..], &[&folder]].concat(), &[])
}

/// The files of the typed jobs are named by a macro, which `cargo fmt` does not look into.
fn format_job_files() -> anyhow::Result<()> {
    let folder = repository().join("crates/job-types/src/jobs");
    let entries = std::fs::read_dir(&folder)
        .with_context(|| format!("failed to read {}", folder.display()))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
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
