//! The wait before a failed job is tried again.

use std::time::Duration;

/// The wait after Faktory's formula: c⁴ + 15 + r × (c + 1) seconds, where c is the number of
/// earlier retries and r a random number from 0 to 29.
pub(super) fn backoff(retry_count: i64, random: &mut fastrand::Rng) -> Duration {
    let count = u64::try_from(retry_count).unwrap_or(0);
    let jitter = random.u64(0..30).saturating_mul(count.saturating_add(1));
    Duration::from_secs(count.saturating_pow(4).saturating_add(15).saturating_add(jitter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_and_longest_waits_are_those_of_faktory() {
        let mut random = fastrand::Rng::with_seed(1);
        for (count, least, most) in
            [(0, 15, 44), (1, 16, 74), (2, 31, 118), (3, 96, 212), (4, 271, 416)]
        {
            let all: Vec<u64> = (0..1000).map(|_| backoff(count, &mut random).as_secs()).collect();
            assert_eq!(
                (all.iter().min(), all.iter().max()),
                (Some(&least), Some(&most)),
                "count {count}"
            );
        }
        assert_eq!(backoff(i64::MAX, &mut random).as_secs(), u64::MAX);
    }
}
