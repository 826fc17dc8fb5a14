//! How a journal keeps its files.

/// How a journal keeps its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The bytes of a segment. A record that needs more gets a segment of its own size.
    pub segment_bytes: u64,
    /// The most files that are kept to be used again.
    pub spares: usize,
}

impl Default for Options {
    /// Segments of 16 MiB: a zero-filled one is made in the time in which some ten thousand jobs
    /// are posted. Four spares.
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, spares: 4 }
    }
}
