//! The commands that people use on this repository: `cargo xtask test` is the gate, and what CI
//! runs.

mod columns;
mod gate;
mod layout;
mod sizes;
mod steps;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use steps::{none, repository, say};

#[derive(Parser)]
#[command(about = "Commands for working on this repository")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Formatting, lints, layout and documentation with warnings denied, and all tests
    Test,
    /// The documents that are generated from the code, written anew
    Docs,
    /// Arrows between crates, circles between modules, files that are too long
    Layout {
        /// The folder to look into; this repository where none is given
        folder: Option<PathBuf>,
    },
    /// Lines of more than 100 columns
    Columns {
        /// The folder to look into; this repository where none is given
        folder: Option<PathBuf>,
    },
    /// A table of sizes: files, functions, lines, circles
    Sizes {
        /// The folders to measure, other projects too; this repository where none is given
        folders: Vec<PathBuf>,
    },
    /// Licenses and sources of all dependencies (cargo-deny)
    Deny,
    /// Images built and both compose files brought up with a Docker daemon of its own; Debian, as
    /// root
    Compose,
    /// The Kubernetes manifests against the published schemas; Python and Go
    Manifests,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Task::Test => gate::test(),
        Task::Docs => gate::docs(),
        Task::Layout { folder } => {
            layout::faults(&folder.unwrap_or_else(repository)).and_then(none)
        }
        Task::Columns { folder } => {
            columns::faults(&folder.unwrap_or_else(repository)).and_then(none)
        }
        Task::Sizes { folders } => {
            let folders = if folders.is_empty() { vec![repository()] } else { folders };
            sizes::table(&folders).map(|table| say(table.trim_end()))
        }
        Task::Deny => gate::deny(),
        Task::Compose => steps::script("deploy/compose-test.sh"),
        Task::Manifests => steps::script("deploy/kubernetes/check.sh"),
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
