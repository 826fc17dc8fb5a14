//! A timeline: the rate of jobs while the link was cut, and when the rate was back.

use serde::{Deserialize, Serialize};

use crate::measure::Spread;

/// The rate of jobs over a time in which the link was cut.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// The length of a step, in seconds.
    pub(crate) step_seconds: f64,
    pub(crate) jobs_per_second: Vec<f64>,
    /// When the link was cut, and when it was whole again, in seconds.
    pub(crate) cut: (f64, f64),
    /// How long after the cut four fifths of the rate before the cut were reached again, in
    /// seconds; `None` where they were not reached.
    pub(crate) resumed_seconds: Option<f64>,
    /// Jobs that the work server has reserved for nobody.
    pub(crate) stranded: u64,
}

impl Timeline {
    /// Finds out when the rate before the cut was reached again.
    pub(crate) fn find_resumed(&mut self) {
        let at = |seconds: f64| (seconds / self.step_seconds) as usize;
        let before = self.jobs_per_second.get(..at(self.cut.0)).unwrap_or_default();
        let Some(before) = Spread::of(before.iter().copied()).map(|spread| spread.median) else {
            return;
        };
        let first = at(self.cut.1);
        let after = self.jobs_per_second.get(first..).unwrap_or_default();
        let resumed = after.iter().position(|rate| *rate >= 0.8 * before);
        self.resumed_seconds =
            resumed.map(|steps| (first + steps + 1) as f64 * self.step_seconds - self.cut.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_back_with_the_first_step_that_reaches_four_fifths_of_it() {
        let mut timeline = Timeline {
            step_seconds: 0.5,
            jobs_per_second: vec![100.0, 100.0, 0.0, 0.0, 79.0, 80.0, 120.0],
            cut: (1.0, 2.0),
            ..Timeline::default()
        };
        timeline.find_resumed();
        assert_eq!(timeline.resumed_seconds, Some(1.0));
        timeline.jobs_per_second.truncate(5);
        timeline.find_resumed();
        assert_eq!(timeline.resumed_seconds, None);
    }
}
