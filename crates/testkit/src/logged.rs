//! What a test's thread writes to the log.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

/// Collects what this thread logs, from the level info on, until dropped. Tasks of a runtime with
/// one thread are part of it.
pub struct Logged {
    lines: Lines,
    _until: tracing::subscriber::DefaultGuard,
}

impl Logged {
    /// Begins to collect.
    #[must_use]
    pub fn here() -> Self {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone()).finish();
        Self { lines, _until: tracing::subscriber::set_default(log) }
    }

    /// The lines so far that contain this text.
    #[must_use]
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let log = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// The counts (`count=…`) of the lines so far that contain this text.
    #[must_use]
    pub fn counts_of(&self, text: &str) -> Vec<u64> {
        let count = |line: &String| {
            let digits = line.split("count=").nth(1).unwrap().split(' ').next().unwrap();
            digits.parse().unwrap()
        };
        self.lines_with(text).iter().map(count).collect()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
