//! Writes the documents that are made from the registries into a folder:
//! `cargo run -p service-runtime --example documents -- docs`.

use std::path::PathBuf;

use service_runtime::documents;

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "docs".into()));
    std::fs::write(folder.join("configuration.md"), documents::configuration())?;
    std::fs::write(folder.join("metrics.md"), documents::metrics())
}
