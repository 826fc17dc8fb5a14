//! The emulated link behaves as its settings say, with the kernel's own TCP at both ends.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod distance;
mod faults;
mod proxy;

use link_emulator::{Link, LinkConfig};

/// A link; `None` where this machine does not allow network namespaces. In CI, the machine must.
fn start(config: LinkConfig) -> Option<Link> {
    match Link::start(config) {
        Ok(link) => Some(link),
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
