//! The machine, the system and the program that a report was measured with.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, the system and the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// The congestion control that the kernel uses by default.
    pub(crate) default_congestion_control: String,
    /// The commit of this program's source, with a `+` where the source had uncommitted changes;
    /// empty where there is no repository.
    pub(crate) commit: String,
    /// `release` or `debug`.
    pub(crate) build: String,
    /// This program's version.
    pub(crate) version: String,
    /// The version of the baseline.
    pub(crate) faktory_crate: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let value = |text: &str, name: &str| -> Option<String> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: format!(
                "{} {}",
                read("/proc/sys/kernel/ostype"),
                read("/proc/sys/kernel/osrelease")
            ),
            default_congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            commit: commit(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            faktory_crate: locked_version("faktory"),
        }
    }

    pub(crate) fn is_release(&self) -> bool {
        self.build == "release"
    }
}

/// The time, RFC 3339 to the second, in UTC.
pub(crate) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    // Reports are changes too, but not of the program.
    let changes = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":/",
        ":(exclude,top)benchmark/results",
        ":(exclude,top)*.md",
    ]);
    let is_changed = changes.is_none_or(|changes| !changes.is_empty());
    if is_changed { format!("{commit}+") } else { commit }
}

/// The version that the workspace is locked to.
fn locked_version(name: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let wanted = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| *line != wanted);
    lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_baselines_version_is_known() {
        assert!(super::locked_version("faktory").starts_with("0."));
    }
}
