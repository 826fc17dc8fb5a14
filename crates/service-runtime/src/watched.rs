//! Files that change while a service runs: keys, certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often files are looked at. They are read whole, a few kilobytes, so that no change escapes:
/// not one within the granularity of a file's time, and not one by a link, as Kubernetes has it.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What stands in a file, or why it can't be read.
pub type Contents = Result<Vec<u8>, String>;

/// Files whose contents are used together.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    /// What was told last.
    told: Vec<Contents>,
    /// What was seen last.
    seen: Vec<Contents>,
}

impl Watched {
    /// Nothing has been seen of them yet.
    #[must_use]
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self {
            paths: paths.into_iter().map(Path::to_owned).collect(),
            told: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Resolves with what stands in the files, in their order, when that is not what it was the
    /// last time, and has been so for two looks: what is just being written is not told. The first
    /// time within two [`LOOK_EVERY`]. Cancel safe.
    pub async fn changed(&mut self) -> &[Contents] {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let paths = self.paths.clone();
            // Reading a file may block.
            let read = move || {
                paths
                    .iter()
                    .map(|path| std::fs::read(path).map_err(|error| error.to_string()))
                    .collect::<Vec<_>>()
            };
            let Ok(now) = tokio::task::spawn_blocking(read).await else {
                return std::future::pending().await;
            };
            let is_settled = now == self.seen;
            self.seen = now;
            if is_settled && self.seen != self.told {
                self.told.clone_from(&self.seen);
                return &self.told;
            }
        }
    }
}
