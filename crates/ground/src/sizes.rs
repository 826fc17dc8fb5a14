//! How many pairs there are of which size, by powers of two: says how many bytes so many of them
//! may have.

use serde::{Deserialize, Serialize};

/// Counts of pairs by their sizes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sizes(
    /// At the place `n`: the pairs of less than `2^n` bytes that are not counted before.
    Vec<u64>,
);

impl Sizes {
    pub(crate) fn note(&mut self, bytes: usize) {
        let place = (usize::BITS - bytes.leading_zeros()) as usize;
        self.count(place, 1);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (place, count) in other.0.iter().enumerate() {
            self.count(place, *count);
        }
    }

    fn count(&mut self, place: usize, count: u64) {
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        if let Some(counted) = self.0.get_mut(place) {
            *counted += count;
        }
    }

    /// The most bytes that so many pairs have.
    pub(crate) fn most_bytes(&self, mut pairs: u64) -> u64 {
        let mut bytes = 0_u64;
        for (place, count) in self.0.iter().enumerate().rev() {
            let taken = pairs.min(*count);
            bytes = bytes.saturating_add(taken.saturating_mul(1 << place.min(63)));
            pairs -= taken;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_pairs_count_first() {
        let mut sizes = Sizes::default();
        [0, 1, 100, 100, 1000].into_iter().for_each(|bytes| sizes.note(bytes));
        assert_eq!(sizes.most_bytes(0), 0);
        assert_eq!(sizes.most_bytes(1), 1024);
        assert_eq!(sizes.most_bytes(3), 1024 + 2 * 128);
        assert_eq!(sizes.most_bytes(u64::MAX), 1024 + 2 * 128 + 2 + 1);
        let mut more = Sizes::default();
        more.note(5000);
        more.add(&sizes);
        assert_eq!(more.most_bytes(2), 8192 + 1024);
    }
}
