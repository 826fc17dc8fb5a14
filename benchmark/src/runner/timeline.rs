//! The timeline of a run in which the link was cut.

use crate::part::order::BIN_US;
use crate::report::Timeline;

/// The timeline from the jobs in each step, with the beginning and the end of the cut in seconds.
pub(super) fn timeline(jobs: &[u64], cut: (f64, f64)) -> Timeline {
    let step_seconds = BIN_US as f64 / 1e6;
    let mut timeline = Timeline {
        step_seconds,
        jobs_per_second: jobs.iter().map(|jobs| *jobs as f64 / step_seconds).collect(),
        cut,
        ..Timeline::default()
    };
    timeline.find_resumed();
    timeline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_until_jobs_run_as_before_counts_from_the_end_of_the_cut() {
        // Steps of a quarter of a second: one second before the cut, one second of cut.
        let jobs = [10, 10, 10, 10, 0, 0, 0, 0, 0, 3, 9, 10];
        let timeline = timeline(&jobs, (1.0, 2.0));
        assert_eq!(timeline.jobs_per_second.first(), Some(&40.0));
        assert_eq!(timeline.resumed_seconds, Some(0.75));
    }

    #[test]
    fn a_rate_that_stays_low_after_the_cut_has_not_resumed() {
        let timeline = timeline(&[10, 10, 10, 10, 0, 0, 0, 0, 1, 7], (1.0, 2.0));
        assert_eq!(timeline.resumed_seconds, None);
    }
}
