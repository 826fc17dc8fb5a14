//! Axes: the range, which follows the data, and the ticks with their labels.

use serde::Serialize;

use crate::measure::gives;
use crate::report::numbers::plain;

/// How many ticks fit an axis.
const MOST_TICKS: usize = 7;
/// Into how many parts even steps divide an axis.
const PARTS: f64 = 4.0;
const PARTS_OF_WIDE: f64 = 8.0;
/// The steps of a decade.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
/// What counts as equal, in relation to a step.
const TOLERANCE: f64 = 1e-9;

/// An axis as the page draws it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Axis {
    label: String,
    scale: Scale,
    min: f64,
    max: f64,
    ticks: Vec<Tick>,
}

/// How a value becomes a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Scale {
    Linear,
    Logarithmic,
}

/// A value of an axis that has a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

impl Axis {
    /// A logarithmic axis around the values. Its ends are at least the factor `least` apart, so
    /// that small differences look small.
    pub(super) fn logarithmic(
        label: &str,
        values: impl IntoIterator<Item = f64>,
        least: f64,
    ) -> Option<Self> {
        let (low, high) = range(values.into_iter().filter(|value| *value > 0.0))?;
        let grow = (least * low / high).max(1.0).sqrt();
        let (low, high) = (low / grow, high * grow);
        let ends =
            if high <= 2.0 * low { even_ends(low, high, PARTS) } else { decade_ends(low, high) };
        Some(Self { label: label.into(), scale: Scale::Logarithmic, ..ends })
    }

    /// A linear axis from 0 to the greatest of the values.
    pub(super) fn from_zero(label: &str, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (_, high) = range(values.into_iter().chain([0.0]))?;
        let high = if high > 0.0 { high } else { 1.0 };
        Some(Self { label: label.into(), ..even_ends(0.0, high, PARTS) })
    }

    /// A linear axis from 0 to exactly the greatest of the values, for a wide chart.
    pub(super) fn up_to(label: &str, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (_, high) = range(values.into_iter().chain([0.0]))?;
        let max = if high > 0.0 { high } else { 1.0 };
        let mut axis = even_ends(0.0, max, PARTS_OF_WIDE);
        axis.ticks.retain(|tick| tick.at <= max);
        Some(Self { label: label.into(), max, ..axis })
    }

    /// An axis of percentiles, which spreads the nines (see [`place`]), for so many samples.
    pub(super) fn percentiles(samples: u64) -> Self {
        let max = place(100.0, samples).max(place(50.0, samples));
        let percentiles: &[f64] =
            if max < 1.5 { &[0.0, 50.0, 90.0] } else { &[50.0, 90.0, 99.0, 99.9, 99.99] };
        let tick = |percentile: &f64| Tick {
            at: place(*percentile, samples),
            label: percentile_label(*percentile),
        };
        let given = percentiles.iter().filter(|percentile| gives(samples, **percentile));
        let ticks = given.map(tick).collect();
        Self { label: "percentile".into(), scale: Scale::Linear, min: 0.0, max, ticks }
    }
}

/// A percentile's place on an axis that spreads the nines: 0 for the fastest, 1 for 90 %, 2 for
/// 99 % and so on. The slowest of n samples is at 1 − 1/n.
pub(super) fn place(percentile: f64, samples: u64) -> f64 {
    let beyond = 1.0 - percentile / 100.0;
    0.0 - beyond.max(1.0 / samples.max(1) as f64).log10()
}

/// A percentile in words.
pub(super) fn percentile_label(percentile: f64) -> String {
    if percentile <= 0.0 { "fastest".into() } else { format!("{percentile} %") }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// Ends and ticks at even steps, about as many as `parts`.
fn even_ends(low: f64, high: f64, parts: f64) -> Axis {
    let wanted = (high - low).max(f64::MIN_POSITIVE) / parts;
    let decade = 10_f64.powf((wanted.log10() + TOLERANCE).floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * decade);
    let step = steps.into_iter().find(|step| *step >= wanted * (1.0 - TOLERANCE)).unwrap_or(wanted);
    let first = (low / step + TOLERANCE).floor();
    let last = (high / step - TOLERANCE).ceil();
    let values = (0..=(last - first) as u32).map(|at| (first + f64::from(at)) * step);
    let ticks = values.map(|at| Tick { at, label: plain(at) }).collect();
    let (min, max) = (first * step, last * step);
    Axis { label: String::new(), scale: Scale::Linear, min, max, ticks }
}

/// Ends at 1, 2 or 5 of a decade; ticks there too, or at the decades alone where there are many.
fn decade_ends(low: f64, high: f64) -> Axis {
    let decades = (low.log10().floor() as i32 - 1)..=(high.log10().ceil() as i32 + 1);
    let all: Vec<f64> =
        decades.flat_map(|decade| STEPS.map(|step| step * 10_f64.powi(decade))).collect();
    let below = all.iter().rev().find(|value| **value <= low * (1.0 + TOLERANCE));
    let above = all.iter().find(|value| **value >= high * (1.0 - TOLERANCE));
    let (min, max) = (below.copied().unwrap_or(low), above.copied().unwrap_or(high));
    let is_within = |value: &f64| *value >= min && *value <= max;
    let mut ticks: Vec<f64> = all.into_iter().filter(is_within).collect();
    if ticks.len() > MOST_TICKS {
        ticks.retain(|value| {
            let decade = value.log10();
            (decade - decade.round()).abs() < TOLERANCE
        });
    }
    let ticks = ticks.into_iter().map(|at| Tick { at, label: plain(at) }).collect();
    Axis { label: String::new(), scale: Scale::Logarithmic, min, max, ticks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(axis: &Axis) -> (f64, f64, Vec<&str>) {
        (axis.min, axis.max, axis.ticks.iter().map(|tick| tick.label.as_str()).collect())
    }

    #[test]
    fn a_logarithmic_axis_begins_and_ends_near_the_data() {
        for (values, expected) in [
            ([100.4, 131.0], (100.0, 140.0, vec!["100", "110", "120", "130", "140"])),
            ([3.0, 18.0], (2.0, 20.0, vec!["2", "5", "10", "20"])),
            ([0.21, 128.0], (0.2, 200.0, vec!["1", "10", "100"])),
            ([20.0, 200_000.0], (20.0, 200_000.0, vec!["100", "1,000", "10,000", "100,000"])),
        ] {
            let axis = Axis::logarithmic("ms", values, 1.2).unwrap();
            assert_eq!(described(&axis), expected, "{values:?}");
        }
        assert_eq!(Axis::logarithmic("ms", [0.0], 1.2), None, "nothing has no logarithm");
    }

    #[test]
    fn values_that_hardly_differ_look_level() {
        let axis = Axis::logarithmic("jobs a second", [2000.0, 2000.2], 10.0).unwrap();
        assert_eq!(
            described(&axis),
            (500.0, 10_000.0, vec!["500", "1,000", "2,000", "5,000", "10,000"])
        );
        let axis = Axis::logarithmic("ms", [100.0, 100.0], 1.2).unwrap();
        assert_eq!(described(&axis), (90.0, 110.0, vec!["90", "95", "100", "105", "110"]));
    }

    #[test]
    fn a_linear_axis_begins_at_zero() {
        let axis = Axis::from_zero("seconds", [38.0, 3.0]).unwrap();
        assert_eq!(described(&axis), (0.0, 40.0, vec!["0", "10", "20", "30", "40"]));
        let axis = Axis::up_to("seconds", [63.0]).unwrap();
        assert_eq!(described(&axis), (0.0, 63.0, vec!["0", "10", "20", "30", "40", "50", "60"]));
        let axis = Axis::from_zero("jobs a second", [0.0]).unwrap();
        assert_eq!(described(&axis), (0.0, 1.0, vec!["0", "0.25", "0.5", "0.75", "1"]));
    }

    #[test]
    fn an_axis_of_percentiles_ends_with_what_the_samples_give() {
        let axis = Axis::percentiles(100);
        assert_eq!(described(&axis), (0.0, 2.0, vec!["50 %", "90 %", "99 %"]));
        assert_eq!(described(&Axis::percentiles(10)), (0.0, 1.0, vec!["fastest", "50 %", "90 %"]));
        let axis = Axis::percentiles(976);
        let (_, max, labels) = described(&axis);
        assert!((max - 2.989).abs() < 0.001, "{max}");
        assert_eq!(labels, ["50 %", "90 %", "99 %"]);
        let axis = Axis::percentiles(16_000);
        let (_, _, labels) = described(&axis);
        assert_eq!(labels, ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn the_slowest_of_a_hundred_is_where_the_99th_percentile_ends() {
        assert!((place(100.0, 100) - 2.0).abs() < 1e-9);
        assert!((place(99.0, 100) - 2.0).abs() < 1e-9);
        assert!((place(90.0, 100) - 1.0).abs() < 1e-9);
        assert!(place(0.0, 100).abs() < 1e-9 && place(100.0, 1).abs() < 1e-9);
    }
}
