//! A guard for the jobs of a request in flight: where the client leaves before their outcomes are
//! known, the metrics count the jobs as unknown.

use crate::figures::Figures;

/// Jobs whose outcomes have not been reported to their client yet. Counts them as unknown when
/// dropped, because a client that leaves drops the handler in the middle of its work.
pub(crate) struct Unheard<'a> {
    figures: &'a Figures,
    jobs: usize,
}

impl<'a> Unheard<'a> {
    pub(crate) const fn new(figures: &'a Figures, jobs: usize) -> Self {
        Self { figures, jobs }
    }

    /// Disarms the guard: the outcomes are known.
    pub(crate) fn outcomes_are_known(mut self) {
        self.jobs = 0;
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        self.figures.unheard(self.jobs, 0);
    }
}
