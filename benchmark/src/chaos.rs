//! What became of the jobs of a chaos run, in which workers start and end at random.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::part::run_log::Times;

/// The counts of a chaos run: workers that ended, and jobs that ran twice or not to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Chaos {
    /// Workers that were killed.
    pub(crate) killed: u64,
    /// Workers that were told to end.
    pub(crate) ended: u64,
    /// Jobs that were posted.
    pub(crate) jobs: u64,
    /// Runs beyond the first of jobs that may be retried: a kill ended the run before, or the ACK
    /// of that run was lost with its killed worker.
    pub(crate) second_runs: u64,
    /// The part of the second runs before which a run had begun and not ended.
    pub(crate) cut_short: u64,
    /// Jobs that may not be retried and that no worker has run to the end: killed workers held
    /// these jobs.
    pub(crate) lost_once_only: u64,
}

impl Chaos {
    /// Counts the jobs with the numbers 0 to `count` by their runs, and names the failures: a job
    /// that may be retried and never ran to its end, a job that may not be retried and ran twice.
    pub(crate) fn of(
        jobs: &HashMap<u64, Times>,
        count: u64,
        may_be_lost: impl Fn(u64) -> bool,
    ) -> (Self, Vec<String>) {
        let mut chaos = Self { jobs: count, ..Self::default() };
        let (mut never, mut twice) = (0, 0);
        for number in 0..count {
            let times = jobs.get(&number).copied().unwrap_or_default();
            if may_be_lost(number) {
                twice += u64::from(times.begun > 1);
                chaos.lost_once_only += u64::from(times.ended == 0);
            } else {
                never += u64::from(times.ended == 0);
                chaos.second_runs += u64::from(times.begun.saturating_sub(1));
                chaos.cut_short += u64::from(times.begun.saturating_sub(times.ended));
            }
        }
        let mut failures = Vec::new();
        if never > 0 {
            failures.push(format!("{never} jobs were never run to the end"));
        }
        if twice > 0 {
            failures.push(format!("{twice} jobs that may not be retried were run twice"));
        }
        (chaos, failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(jobs: &[(u64, u32, u32)]) -> HashMap<u64, Times> {
        jobs.iter()
            .map(|(number, begun, ended)| (*number, Times { begun: *begun, ended: *ended }))
            .collect()
    }

    #[test]
    fn second_runs_and_runs_cut_short_are_counted_and_are_no_failure() {
        let (chaos, failures) = Chaos::of(&runs(&[(0, 1, 1), (1, 2, 1), (2, 2, 2)]), 3, |_| false);
        assert_eq!(chaos, Chaos { jobs: 3, second_runs: 2, cut_short: 1, ..Chaos::default() });
        assert!(failures.is_empty());
    }

    #[test]
    fn a_job_that_may_not_be_retried_may_be_lost_but_may_not_run_twice() {
        let (chaos, failures) = Chaos::of(&runs(&[(0, 1, 0), (1, 2, 1)]), 3, |_| true);
        assert_eq!(chaos, Chaos { jobs: 3, lost_once_only: 2, ..Chaos::default() });
        assert_eq!(failures, ["1 jobs that may not be retried were run twice"]);
    }

    #[test]
    fn a_job_that_may_be_retried_and_never_ran_to_its_end_is_a_failure() {
        let (_, failures) = Chaos::of(&runs(&[(0, 3, 0)]), 2, |_| false);
        assert_eq!(failures, ["2 jobs were never run to the end"]);
    }
}
