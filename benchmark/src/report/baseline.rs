//! Ours against the baseline, the faktory crate: how many times better, and whether the difference
//! is more than the repetitions differ among themselves.

use serde::Serialize;

use super::{Figure, Report, Summary};
use crate::measure::Spread;
use crate::part::order::Via;
use crate::scenario::Focus;

/// Medians that differ by less are as good as each other.
const LEAST_DIFFERENCE: f64 = 0.02;

/// How a figure of ours compares with the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Comparison {
    /// How many times the jobs a second; where latency counts, how many times shorter the median.
    pub(super) ratio: f64,
    pub(super) standing: Standing,
}

/// Who is ahead. The page has a colour and words for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Every repetition of ours was better than every one of the baseline's.
    Ahead,
    /// The repetitions of both overlap, or the medians hardly differ.
    Level,
    /// Every repetition of ours was worse.
    Behind,
}

/// Compares a figure of ours with the baseline's on the same network; `None` where there is no
/// baseline, or nothing to compare.
pub(super) fn compare(report: &Report, figure: &Figure) -> Option<Comparison> {
    if figure.via.is_baseline() {
        return None;
    }
    let theirs = report.figure(&figure.network, &figure.scenario, Via::Crate)?.summary.as_ref()?;
    of(figure.focus, figure.summary.as_ref()?, theirs)
}

fn of(focus: Focus, ours: &Summary, theirs: &Summary) -> Option<Comparison> {
    let (good, bad) = match focus {
        Focus::Throughput | Focus::Duration => (ours.jobs_per_second, theirs.jobs_per_second),
        Focus::Latency => (theirs.p50_us, ours.p50_us),
    };
    (good.median > 0.0 && bad.median > 0.0)
        .then(|| Comparison { ratio: good.median / bad.median, standing: standing(good, bad) })
}

/// The first is what should be the greater of the two.
fn standing(good: Spread, bad: Spread) -> Standing {
    if (good.median / bad.median - 1.0).abs() < LEAST_DIFFERENCE {
        Standing::Level
    } else if good.min > bad.max {
        Standing::Ahead
    } else if good.max < bad.min {
        Standing::Behind
    } else {
        Standing::Level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(min: f64, median: f64, max: f64) -> Spread {
        Spread { median, min, max }
    }

    fn summary(jobs_per_second: Spread, p50_us: Spread) -> Summary {
        let run = super::super::Run::default();
        Summary { jobs_per_second, p50_us, ..super::super::summary::of(&[&run]).unwrap() }
    }

    #[test]
    fn only_a_difference_beyond_the_spread_is_a_lead_or_a_loss() {
        let (low, middle, high) =
            (spread(1.0, 2.0, 3.0), spread(2.5, 4.0, 5.0), spread(5.5, 6.0, 7.0));
        let rate = |ours, theirs| {
            let comparison = of(
                Focus::Throughput,
                &summary(ours, Spread::default()),
                &summary(theirs, Spread::default()),
            )
            .unwrap();
            (comparison.ratio, comparison.standing)
        };
        assert_eq!(rate(high, low), (3.0, Standing::Ahead));
        assert_eq!(rate(middle, low), (2.0, Standing::Level));
        assert_eq!(rate(low, high), (1.0 / 3.0, Standing::Behind));
        let hardly_more = spread(101.0, 101.0, 101.0);
        assert_eq!(rate(hardly_more, spread(100.0, 100.0, 100.0)), (1.01, Standing::Level));
    }

    #[test]
    fn of_latencies_the_shorter_is_ahead() {
        let (short, long) = (spread(9.0, 10.0, 11.0), spread(30.0, 40.0, 50.0));
        let latency = |ours, theirs| {
            let rate = Spread::default();
            of(Focus::Latency, &summary(rate, ours), &summary(rate, theirs)).unwrap()
        };
        assert_eq!(latency(short, long), Comparison { ratio: 4.0, standing: Standing::Ahead });
        assert_eq!(latency(long, short), Comparison { ratio: 0.25, standing: Standing::Behind });
    }

    #[test]
    fn nothing_is_compared_with_a_rate_of_nothing() {
        let none = summary(Spread::default(), Spread::default());
        assert_eq!(of(Focus::Throughput, &none, &none), None);
    }
}
