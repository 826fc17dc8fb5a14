//! The metrics of one job type. Those of the worker as a whole are kept where they arise, and read
//! in `health.rs`.

use metrics::{Counter, Histogram, counter, histogram};
use service_runtime::metrics as names;

use crate::reporting::Ending;

/// The metrics of one job type, looked up once.
pub(crate) struct TypeMetrics {
    pub(crate) took: Histogram,
    done: Counter,
    failed: Counter,
    failed_for_good: Counter,
    snoozed: Counter,
}

impl TypeMetrics {
    pub(crate) fn new(job_type: &str) -> Self {
        let runs = |outcome: &'static str| {
            let job_type = job_type.to_owned();
            counter!(names::WORKER_RUNS, "job_type" => job_type, "outcome" => outcome)
        };
        Self {
            took: histogram!(names::WORKER_RUN, "job_type" => job_type.to_owned()),
            done: runs("done"),
            failed: runs("failed"),
            failed_for_good: runs("failed_for_good"),
            // The label is older than the name.
            snoozed: runs("later"),
        }
    }

    /// Counts a run.
    pub(crate) fn ended(&self, ending: &Ending) {
        let counter = match ending {
            Ending::Done => &self.done,
            Ending::Failed(_) => &self.failed,
            Ending::FailedForGood(_) => &self.failed_for_good,
            Ending::Snooze(..) | Ending::Requeued(_) => &self.snoozed,
        };
        counter.increment(1);
    }
}
