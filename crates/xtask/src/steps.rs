//! What every command does: find the repository, run other commands, and tell people.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The folder of this repository.
pub(crate) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Fails where there are faults, and lists them.
pub(crate) fn none(faults: Vec<String>) -> anyhow::Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Runs a script of this repository.
pub(crate) fn script(path: &str) -> anyhow::Result<()> {
    let status = Command::new("bash").arg(repository().join(path)).status();
    if !status.with_context(|| format!("failed to run {path}"))?.success() {
        bail!("{path} failed: see above");
    }
    Ok(())
}

/// Runs cargo, and says so.
pub(crate) fn cargo(
    what: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    say(&format!("== {what}: cargo {}", arguments.join(" ")));
    let mut command = Command::new("cargo");
    command.args(arguments).envs(variables.iter().copied()).current_dir(repository());
    let status = command.status().with_context(|| format!("failed to run cargo for {what}"))?;
    if !status.success() {
        bail!("{what}: cargo {} failed", arguments.join(" "));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a command is asked for")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
