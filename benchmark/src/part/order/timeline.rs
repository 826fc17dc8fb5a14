//! A timeline: the number of jobs in each step of the measured time.

/// The length of each step of a timeline, in microseconds.
pub(crate) const BIN_US: u64 = 250_000;

/// The most steps of a timeline; a longer measurement has no chart of the rest.
const TIMELINE_MAX: usize = 4000;

/// Adds jobs at a time that is counted in microseconds from the timeline's beginning.
pub(crate) fn note_at(timeline: &mut Vec<u64>, us: u64, jobs: u64) {
    let bin = (us / BIN_US) as usize;
    if bin < TIMELINE_MAX {
        timeline.resize(timeline.len().max(bin + 1), 0);
        timeline.get_mut(bin).into_iter().for_each(|known| *known += jobs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_added_to_the_step_of_their_time() {
        let mut timeline = Vec::new();
        for (us, jobs) in [(0, 1), (249_999, 2), (750_000, 4)] {
            note_at(&mut timeline, us, jobs);
        }
        assert_eq!(timeline, [3, 0, 0, 4]);
    }

    #[test]
    fn a_time_beyond_the_last_step_is_left_out() {
        let mut timeline = Vec::new();
        note_at(&mut timeline, BIN_US * TIMELINE_MAX as u64, 1);
        assert!(timeline.is_empty());
    }
}
