//! The benchmark as its users run it, its page in a real browser, and the product over an emulated
//! link.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod browser;
mod guide;
mod keepalive;
mod link;
mod little;
mod readme;
mod side_by_side;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command of the benchmark's program.
fn benchmark() -> Command {
    Command::new(env!("CARGO_BIN_EXE_benchmark"))
}

/// A binary of another package, in the folder in which tests of the workspace put all binaries.
fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_benchmark")).with_file_name(name);
    if !path.exists() {
        let built =
            Command::new(env!("CARGO")).args(["build", "--quiet", "-p", name]).status().unwrap();
        assert!(built.success());
    }
    path
}

/// Notes that a test can't be done on this machine. In CI, this is a failure.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}
