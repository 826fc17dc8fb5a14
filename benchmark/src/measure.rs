//! Latencies, their summaries, and the spread of a figure over several runs.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The largest recorded latency, in microseconds: ten minutes. A larger one counts as this.
const MAX_US: u64 = 600_000_000;
/// The percentiles of a distribution, as the charts draw them.
const PERCENTILES: [f64; 12] =
    [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0];

/// A histogram of latencies, with three digits from a microsecond to ten minutes.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Option<Histogram<u64>>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MAX_US, 3).ok())
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, us: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(us);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            // Both have the same bounds.
            let _ = histogram.add(other);
        }
    }

    pub(crate) fn percentile(&self, percentile: f64) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.value_at_percentile(percentile))
    }

    pub(crate) fn summary(&self) -> Latency {
        let count = self.0.as_ref().map_or(0, Histogram::len);
        if count == 0 {
            return Latency::default();
        }
        Latency {
            count,
            p50_us: self.percentile(50.0),
            p90_us: self.percentile(90.0),
            p99_us: self.percentile(99.0),
            p999_us: self.percentile(99.9),
            max_us: self.percentile(100.0),
            distribution: PERCENTILES
                .iter()
                .filter(|percentile| gives(count, **percentile))
                .map(|percentile| (*percentile, self.percentile(*percentile)))
                .collect(),
        }
    }
}

/// Whether so many samples give a percentile: at least one of them has to lie beyond it on the
/// shorter side, so the 99th takes 100 samples and the 10th takes ten. The fastest and the slowest
/// are samples themselves, and any number of samples has a median.
pub(crate) fn gives(samples: u64, percentile: f64) -> bool {
    let beyond = percentile.min(100.0 - percentile) / 100.0;
    let is_always_given = beyond <= 0.0 || beyond >= 0.5;
    // The difference of two decimal fractions is not exact.
    samples > 0 && (is_always_given || samples as f64 * beyond >= 1.0 - 1e-9)
}

/// A summary of latencies, in microseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// The number of latencies.
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
    /// Pairs of a percentile and its latency.
    pub(crate) distribution: Vec<(f64, u64)>,
}

impl Latency {
    /// The latency at one of the percentiles of the distribution; where there are too few samples,
    /// the latency at the largest percentile below.
    pub(crate) fn at(&self, percentile: f64) -> u64 {
        let below = self.distribution.iter().filter(|(at, _)| *at <= percentile);
        below.map(|(_, us)| *us).next_back().unwrap_or(self.p50_us)
    }
}

/// The median of several runs, with the smallest and the largest value.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of these values; `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            match (values.len() % 2, values.get(middle.wrapping_sub(1)), values.get(middle)) {
                (0, Some(below), Some(above)) => f64::midpoint(*below, *above),
                (_, _, Some(middle)) => *middle,
                _ => return None,
            };
        Some(Self { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentiles_of_a_summary_are_those_of_the_recorded_latencies() {
        let mut latencies = Latencies::default();
        let mut others = Latencies::default();
        (1..=500).for_each(|us| latencies.record(us * 1000));
        (501..=1000).for_each(|us| others.record(us * 1000));
        latencies.add(&others);
        let summary = latencies.summary();
        assert_eq!(summary.count, 1000);
        for (value, expected) in
            [(summary.p50_us, 500_000), (summary.p99_us, 990_000), (summary.max_us, 1_000_000)]
        {
            assert!(value.abs_diff(expected) < expected / 500, "{value} {expected}");
        }
        assert_eq!(Latencies::default().summary(), Latency::default());
        let mut few = Latencies::default();
        (1..=10).for_each(|us| few.record(us));
        let percentiles: Vec<f64> =
            few.summary().distribution.iter().map(|(percentile, _)| *percentile).collect();
        assert_eq!(
            percentiles,
            [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 100.0],
            "ten samples have no 99th percentile"
        );
    }

    #[test]
    fn a_percentile_takes_as_many_samples_as_one_beyond_it_needs() {
        for (percentile, least) in [
            (0.0, 1),
            (10.0, 10),
            (50.0, 1),
            (90.0, 10),
            (95.0, 20),
            (99.0, 100),
            (99.5, 200),
            (99.9, 1000),
            (99.99, 10_000),
            (100.0, 1),
        ] {
            assert!(gives(least, percentile), "{percentile}");
            assert!(!gives(least - 1, percentile), "{percentile}");
        }
    }

    #[test]
    fn a_spread_has_the_median_the_smallest_and_the_largest_value() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
