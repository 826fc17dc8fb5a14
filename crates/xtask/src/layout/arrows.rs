//! Arrows between the crates of the workspace, as the manifests have them and as the code map in
//! ARCHITECTURE.md tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::tree;

/// For each crate, the crates of the workspace that it uses.
pub(super) type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Crates that only tests may use.
const FOR_TESTS: &str = "testkit";

pub(super) fn faults(folder: &Path) -> anyhow::Result<Vec<String>> {
    let told = told(&tree::read(&folder.join("ARCHITECTURE.md"))?)?;
    Ok(compared(&in_manifests(folder)?, &told))
}

/// The differences between what is and what is told.
pub(super) fn compared(real: &Arrows, told: &Arrows) -> Vec<String> {
    let mut faults = Vec::new();
    for name in real.keys().chain(told.keys()).collect::<BTreeSet<_>>() {
        match (real.get(name), told.get(name)) {
            (Some(real), Some(told)) => {
                let missing = real.difference(told);
                faults.extend(missing.map(|used| {
                    format!(
                        "{name} uses {used}, which the code map of ARCHITECTURE.md does not say"
                    )
                }));
                let superfluous = told.difference(real);
                faults.extend(superfluous.map(|used| {
                    format!("{name} does not use {used}, as the code map of ARCHITECTURE.md says")
                }));
            }
            (Some(_), None) => {
                faults.push(format!("{name} is missing in the code map of ARCHITECTURE.md"));
            }
            (None, _) => faults.push(format!("the code map tells of {name}, which there is not")),
        }
        if real.get(name).is_some_and(|used| used.contains(FOR_TESTS)) {
            faults.push(format!("{name} uses {FOR_TESTS} outside of its tests"));
        }
    }
    faults
}

/// The arrows in the code map: rows whose first cell names a crate and whose last cell names those
/// that it uses. `–` is none, `all of the above` are the crates of the rows before, `all but x` are
/// all crates but `x` and the row's own; what else stands in the cell is for people.
pub(super) fn told(architecture: &str) -> anyhow::Result<Arrows> {
    let mut arrows = Arrows::new();
    let rows: Vec<(String, String)> = architecture.lines().filter_map(row).collect();
    if rows.is_empty() {
        bail!("ARCHITECTURE.md has no code map: rows that begin with a crate in backticks");
    }
    let all: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    for (name, cell) in &rows {
        let words: BTreeSet<String> = cell
            .split(|c: char| !(c.is_alphanumeric() || c == '-'))
            .filter(|word| all.contains(*word))
            .map(str::to_owned)
            .collect();
        let used = if cell.starts_with("all of the above") {
            arrows.keys().cloned().collect()
        } else if cell.starts_with("all but") {
            all.iter().filter(|other| !words.contains(*other) && *other != name).cloned().collect()
        } else {
            words
        };
        arrows.insert(name.clone(), used);
    }
    Ok(arrows)
}

/// The crate and the last cell of a row of the code map.
fn row(line: &str) -> Option<(String, String)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let path = cells.first()?.trim().strip_prefix('`')?.strip_suffix('`')?;
    let name = match path.strip_prefix("crates/") {
        Some(name) => name,
        None if path == "benchmark" => path,
        None => return None,
    };
    let is_crate = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_crate.then(|| Some((name.to_owned(), cells.last()?.trim().to_owned())))?
}

/// The arrows in the manifests; what is used in tests or builds alone does not count.
fn in_manifests(folder: &Path) -> anyhow::Result<Arrows> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(folder)
        .output()
        .context("failed to run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let list = |value: &Value, member: &str| {
        value.get(member).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let text = |value: &Value, member: &str| {
        value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let packages = list(&metadata, "packages");
    let ours: BTreeSet<String> = packages.iter().map(|package| text(package, "name")).collect();
    Ok(packages
        .iter()
        .map(|package| {
            let used = list(package, "dependencies")
                .iter()
                .filter_map(|dependency| {
                    let is_normal = dependency.get("kind").is_some_and(Value::is_null);
                    let name = text(dependency, "name");
                    (is_normal && ours.contains(&name)).then_some(name)
                })
                .collect();
            (text(package, "name"), used)
        })
        .collect())
}
