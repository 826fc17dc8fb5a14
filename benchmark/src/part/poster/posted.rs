//! The outcome of one request.

/// The number of jobs of a request by their outcome, and the first error.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    pub(crate) stored: u64,
    pub(crate) unknown: u64,
    pub(crate) not_stored: u64,
    pub(crate) error: Option<String>,
}

impl Posted {
    /// Counts a job that may be stored or not.
    pub(super) fn unknown(&mut self, why: String) {
        self.unknown += 1;
        self.error.get_or_insert(why);
    }

    /// Counts a job that is not stored.
    pub(super) fn not_stored(&mut self, why: String) {
        self.not_stored += 1;
        self.error.get_or_insert(why);
    }
}
