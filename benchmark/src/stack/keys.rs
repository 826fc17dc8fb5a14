//! The keys of a guarded API.

use std::io::Write;

use service_runtime::{Key, Scope};
use tempfile::NamedTempFile;

/// A file with one key, removed when dropped.
pub(super) struct Keys {
    pub(super) file: NamedTempFile,
    pub(super) key: String,
}

impl Keys {
    pub(super) fn make() -> anyhow::Result<Self> {
        let (secret, key) = Key::new("benchmark", [Scope::Post, Scope::Read])
            .map_err(|error| anyhow::anyhow!("failed to make a key: {error}"))?;
        let mut file = NamedTempFile::new()?;
        writeln!(file, "{}", key.line())?;
        Ok(Self { file, key: secret.reveal().to_owned() })
    }
}
