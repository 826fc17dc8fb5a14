//! Files that change while a service runs: keys, certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time between two looks at the files. A look reads the whole file, a few kilobytes, so that
/// no change escapes: neither two changes within the granularity of a file's time, nor a change of
/// a symbolic link, which is how Kubernetes replaces files.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The bytes of a file, or why the file can't be read.
pub type Contents = Result<Vec<u8>, String>;

/// Files whose contents are used together.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    /// The contents that the caller was told last.
    told: Vec<Contents>,
    /// The contents at the last look.
    seen: Vec<Contents>,
}

impl Watched {
    /// Watches these files, which have not been looked at yet.
    #[must_use]
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self {
            paths: paths.into_iter().map(Path::to_owned).collect(),
            told: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Resolves with the contents of the files, in their order, when the contents differ from those
    /// told last and were the same at two looks, so that a file that is just being written is not
    /// told. The first call resolves within two [`LOOK_EVERY`]. Cancel safe.
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
            let now = match tokio::task::spawn_blocking(read).await {
                Ok(now) => now,
                // Whoever waits for the changes is to notice.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime ends.
                Err(_) => return std::future::pending().await,
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
