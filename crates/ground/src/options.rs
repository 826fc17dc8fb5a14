//! How a store keeps its files and its memory.

/// How a store keeps its files and its memory.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How the journal keeps its files.
    pub journal: journal::Options,
    /// A checkpoint begins when the changes in memory take so many bytes. While the sorted files
    /// can't be written, nothing is committed beyond four times as many.
    pub memory_bytes: usize,
    /// A checkpoint begins when so many bytes have gone into the journal since the last one; at
    /// rest, a sixteenth of it. While the sorted files can't be written, nothing is committed
    /// beyond four times as many.
    pub journal_bytes: u64,
    /// The memory for blocks that were read. One block with a larger value is kept beside them.
    pub cache_bytes: usize,
    /// Sorted files are about so long, or longer in a large store: there are about a hundred of
    /// them at most.
    pub file_bytes: u64,
    /// The first bytes of keys that are mostly looked for in vain: what begins with each of them
    /// lies in files of its own, which have a filter in memory (10 bits for each key). A few only:
    /// each one makes more files.
    pub filtered: &'static [u8],
    /// The bytes of a file that is given up where the disk is full, so that the store opens and
    /// checkpoints can be written all the same; 0 for none.
    pub ballast_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal: journal::Options::default(),
            memory_bytes: 32 << 20,
            journal_bytes: 128 << 20,
            cache_bytes: 16 << 20,
            file_bytes: 16 << 20,
            filtered: &[],
            ballast_bytes: 48 << 20,
        }
    }
}
