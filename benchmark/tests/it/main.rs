//! The benchmark as its users run it, its page in a real browser, and what the emulated link shows of ours.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, reason = "tests")]

mod browser;
mod guide;
mod keepalive;
mod link;
mod little;
mod readme;

use std::process::Command;

/// The program.
fn benchmark() -> Command {
    Command::new(env!("CARGO_BIN_EXE_benchmark"))
}

/// Where a test can't be done: in CI a failure, elsewhere a word.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}
