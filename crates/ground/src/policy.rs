//! Which runs are merged.
//!
//! Runs are merged by their sizes, as in the universal compaction of RocksDB
//! (<https://github.com/facebook/rocksdb/wiki/Universal-Compaction>): newer runs that together are
//! as large as a part of the next older one are merged with it. So there are few runs, and each
//! pair is written anew a few times only.

use std::ops::Range;

/// What counts of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    pub(crate) bytes: u64,
    pub(crate) pairs: u64,
    pub(crate) removals: u64,
    /// A block of it is bad: it stays as it is, since nobody can say what the block hides.
    pub(crate) is_bad: bool,
}

/// Newer runs are merged with the next older one where they have this part of its bytes.
const PART: u64 = 2;
/// ... or where they remove so large a part of its pairs that much of it is dead.
const DEAD_PART: u64 = 4;

/// The runs that are to be merged, the newest first; `None` where nothing needs it.
pub(crate) fn choose(runs: &[Weight]) -> Option<Range<usize>> {
    let mut chosen = None;
    let (mut from, mut bytes, mut removals) = (0, 0, 0);
    for (index, run) in runs.iter().enumerate() {
        if run.is_bad {
            if chosen.is_some() {
                break;
            }
            (from, bytes, removals) = (index + 1, 0, 0);
            continue;
        }
        let is_many =
            index > from && (bytes >= run.bytes / PART || removals > run.pairs / DEAD_PART);
        if is_many {
            chosen = Some(from..index + 1);
        }
        bytes += run.bytes;
        removals += run.removals;
    }
    // A last run of removals removes nothing any more.
    let is_last_of_removals = |last: &Weight| last.removals > 0 && !last.is_bad;
    let last = runs.len().checked_sub(1)?;
    if chosen.is_none() && runs.last().is_some_and(is_last_of_removals) {
        chosen = Some(last..last + 1);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bytes: u64, pairs: u64, removals: u64) -> Weight {
        Weight { bytes, pairs, removals, is_bad: false }
    }

    #[test]
    fn runs_of_like_size_are_merged_and_a_small_one_waits() {
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&[run(100, 10, 0)]), None);
        assert_eq!(choose(&[run(10, 1, 0), run(100, 10, 0)]), None);
        assert_eq!(choose(&[run(60, 6, 0), run(100, 10, 0)]), Some(0..2));
        // The merged two would be merged with the third at once.
        assert_eq!(choose(&[run(60, 6, 0), run(100, 10, 0), run(300, 30, 0)]), Some(0..3));
        assert_eq!(choose(&[run(60, 6, 0), run(100, 10, 0), run(900, 90, 0)]), Some(0..2));
    }

    #[test]
    fn what_is_mostly_dead_is_merged() {
        assert_eq!(choose(&[run(10, 30, 30), run(1000, 100, 0)]), Some(0..2));
        assert_eq!(choose(&[run(1000, 100, 1)]), Some(0..1));
    }

    #[test]
    fn a_bad_run_stays_as_it_is() {
        let bad = Weight { is_bad: true, ..run(100, 10, 1) };
        assert_eq!(choose(&[run(100, 10, 0), bad]), None);
        assert_eq!(choose(&[bad, run(100, 10, 0), run(100, 10, 0)]), Some(1..3));
        assert_eq!(choose(&[run(9, 1, 0), run(9, 1, 0), bad, run(9, 1, 0)]), Some(0..2));
        assert_eq!(choose(&[bad]), None);
    }
}
