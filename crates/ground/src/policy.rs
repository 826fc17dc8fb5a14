//! Which runs are merged.
//!
//! Runs are merged by their sizes, as in the universal compaction of RocksDB
//! (<https://github.com/facebook/rocksdb/wiki/Universal-Compaction>): newer runs that together are
//! as large as a part of the next older one are merged with it. So there are few runs, and each
//! pair is written anew a few times only.
//!
//! Two more reasons merge all runs at once: too many files, each of which takes a descriptor; and,
//! while nothing is changed, that more than half of the bytes may be dead.

use std::ops::Range;

use crate::sizes::Sizes;

/// What counts of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weight {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) pairs: u64,
    pub(crate) removals: u64,
    /// So many of its pairs, at most, replace or remove one of an older run.
    pub(crate) replacing: u64,
    pub(crate) sizes: Sizes,
    /// A block of it is bad: it stays as it is, since nobody can say what the block hides.
    pub(crate) is_bad: bool,
}

/// What is to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The runs.
    pub(crate) runs: Range<usize>,
    /// A file of less than this part of the usual length is written anew, together with the ones
    /// beside it, and not kept as it is.
    pub(crate) small_part: u64,
}

/// Newer runs are merged with the next older one where they have this part of its bytes.
const PART: u64 = 2;
/// ... or where they remove so large a part of its pairs that much of it is dead.
const DEAD_PART: u64 = 4;
/// The part of the usual length below which a file is small.
const SMALL_PART: u64 = 4;
/// ... and where there are too many files. The usual length is a 32nd of all bytes, or more: so a
/// merge leaves at most 64 files, and a few for the tables that have files of their own.
const SMALL_PART_OF_MANY: u64 = 2;
/// All runs are merged where they have more files.
pub(crate) const FILES_MAX: usize = 120;

/// The runs that are to be merged, the newest first; `None` where nothing needs it. `rest`: nothing
/// is changed at present, and so many dead bytes may stay beside as many as are alive.
pub(crate) fn choose(runs: &[Weight], rest: Option<u64>) -> Option<Choice> {
    if let Some(runs) = groups(runs).find(|group| files(runs, group) > FILES_MAX) {
        return Some(Choice { runs, small_part: SMALL_PART_OF_MANY });
    }
    let chosen = by_sizes(runs).or_else(|| of_removals(runs));
    let chosen = chosen.or_else(|| rest.and_then(|spared| mostly_dead(runs, spared)));
    chosen.map(|runs| Choice { runs, small_part: SMALL_PART })
}

/// The runs between those that are bad.
fn groups(runs: &[Weight]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    let mut parts = runs.split(|run| run.is_bad);
    std::iter::from_fn(move || {
        let length = parts.next()?.len();
        let group = from..from + length;
        from += length + 1;
        Some(group)
    })
}

fn files(runs: &[Weight], group: &Range<usize>) -> usize {
    runs.get(group.clone()).unwrap_or_default().iter().map(|run| run.files).sum()
}

fn by_sizes(runs: &[Weight]) -> Option<Range<usize>> {
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
    chosen
}

/// A last run of removals removes nothing any more.
fn of_removals(runs: &[Weight]) -> Option<Range<usize>> {
    let last = runs.last().filter(|last| last.removals > 0 && !last.is_bad);
    last.map(|_| runs.len() - 1..runs.len())
}

/// All runs, where more of their bytes may be dead than alive. Those behind a bad one stay.
fn mostly_dead(runs: &[Weight], spared: u64) -> Option<Range<usize>> {
    let group = groups(runs).next().filter(|group| group.len() > 1)?;
    let (mut all, mut dead, mut replacing) = (0_u64, 0_u64, 0_u64);
    for run in runs.get(group.clone()).unwrap_or_default() {
        dead += run.sizes.most_bytes(replacing).min(run.bytes);
        all += run.bytes;
        replacing = replacing.saturating_add(run.replacing);
    }
    (dead > all - dead + spared).then_some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bytes: u64, pairs: u64, removals: u64) -> Weight {
        Weight { files: 1, bytes, pairs, removals, replacing: removals, ..Weight::default() }
    }

    fn choose(runs: &[Weight]) -> Option<Range<usize>> {
        let choice = super::choose(runs, None)?;
        assert_eq!(choice.small_part, SMALL_PART);
        Some(choice.runs)
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
        assert_eq!(choose(&[run(100, 10, 0), bad.clone()]), None);
        assert_eq!(choose(&[bad.clone(), run(100, 10, 0), run(100, 10, 0)]), Some(1..3));
        let runs = [run(9, 1, 0), run(9, 1, 0), bad.clone(), run(9, 1, 0)];
        assert_eq!(choose(&runs), Some(0..2));
        assert_eq!(choose(&[bad]), None);
    }

    #[test]
    fn a_store_of_too_many_files_is_merged_and_keeps_only_large_ones() {
        let many = |files| Weight { files, ..run(1000, 10, 0) };
        let small = || run(10, 1, 0);
        assert_eq!(super::choose(&[small(), many(FILES_MAX - 1)], None), None);
        let all = Some(Choice { runs: 0..2, small_part: SMALL_PART_OF_MANY });
        assert_eq!(super::choose(&[small(), many(FILES_MAX)], None), all);
        let bad = Weight { is_bad: true, ..many(FILES_MAX + 1) };
        assert_eq!(super::choose(&[small(), bad.clone()], None), None, "it would never end");
        let behind = Some(Choice { runs: 2..3, small_part: SMALL_PART_OF_MANY });
        assert_eq!(super::choose(&[small(), bad, many(FILES_MAX + 1)], None), behind);
    }

    #[test]
    fn at_rest_all_is_merged_where_more_may_be_dead_than_alive() {
        let mut large = Weight { pairs: 100, bytes: 100_000, ..run(0, 0, 0) };
        (0..90).for_each(|_| large.sizes.note(110));
        (0..10).for_each(|_| large.sizes.note(9000));
        let removing = |pairs| Weight { replacing: pairs, ..run(10, 10, 0) };
        let at_rest = |pairs, spared| {
            super::choose(&[removing(pairs), large.clone()], Some(spared)).map(|choice| choice.runs)
        };
        // Five of the largest take at most 16 KiB each.
        assert_eq!(at_rest(5, 0), Some(0..2));
        assert_eq!(at_rest(5, 70_000), None);
        assert_eq!(at_rest(3, 0), None);
        assert_eq!(super::choose(&[removing(5), large.clone()], None), None, "not under load");
        assert_eq!(super::choose(&[large], Some(0)), None, "one run has nothing dead");
    }
}
