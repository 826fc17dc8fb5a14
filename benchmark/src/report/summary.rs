//! The summary of a figure: medians over the runs that count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::run::Run;
use crate::measure::{Latency, Spread, gives};

/// The medians over the runs that count, each main figure with its lowest and highest value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) runs: usize,
    pub(crate) jobs_per_second: Spread,
    pub(crate) seconds: Spread,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) max_us: Spread,
    /// Percentile, and the median of the runs' latencies there, in microseconds.
    pub(crate) distribution: Vec<(f64, f64)>,
    /// Microseconds of processor time for each job, by process.
    pub(crate) processor_us_per_job: BTreeMap<String, f64>,
    /// The handlers' time as a share of what the worker's concurrency allows.
    pub(crate) handler_share: Option<f64>,
    /// From the start of the API's process until it was ready, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ready_us: Option<f64>,
    /// Latencies of requests of which nothing was stored, in microseconds: median and 99th
    /// percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused_us: Option<(f64, f64)>,
    /// What the API's memory grew by, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grew_bytes: Option<f64>,
    /// Bytes from the near side to the far side for each job, headers included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sent_bytes_per_job: Option<f64>,
    /// Jobs of which nobody knows, where that is no failure: the most of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<f64>,
    /// How long after a cut of the link jobs went through as before, in seconds, where they did in
    /// all runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resumed_seconds: Option<f64>,
    /// 95th percentile of the latencies, in microseconds.
    #[serde(default)]
    pub(crate) p95_us: f64,
    /// True where time ran out before all jobs were posted, in at least one run.
    pub(crate) cut_short: bool,
    /// In an open loop, how late requests began because the generator was late: 99th percentile, in
    /// microseconds.
    pub(crate) generator_late_p99_us: Option<f64>,
    /// False where of so many jobs only the number was compared, in at least one run.
    pub(crate) looked_at_each: bool,
}

/// The summary of runs that count; `None` of none.
pub(super) fn of(runs: &[&Run]) -> Option<Summary> {
    let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(|run| of(run)));
    Some(Summary {
        runs: runs.len(),
        jobs_per_second: spread(|run| run.jobs_per_second)?,
        seconds: spread(|run| run.seconds)?,
        p50_us: spread(|run| run.latency.p50_us as f64)?,
        p99_us: spread(|run| run.latency.p99_us as f64)?,
        max_us: spread(|run| run.latency.max_us as f64)?,
        distribution: distribution(runs),
        processor_us_per_job: processor(runs),
        handler_share: median(runs, |run| run.handler_share),
        ready_us: median(runs, |run| run.ready_us),
        refused_us: refused(runs, |latency| latency.p50_us)
            .zip(refused(runs, |latency| latency.p99_us)),
        grew_bytes: median(runs, |run| run.grew_bytes),
        sent_bytes_per_job: median(runs, Run::sent_bytes_per_job),
        unknown: runs
            .iter()
            .map(|run| run.counts.unknown)
            .max()
            .filter(|most| *most > 0)
            .map(|most| most as f64),
        resumed_seconds: resumed(runs),
        p95_us: spread(|run| run.latency.at(95.0) as f64).map_or(0.0, |spread| spread.median),
        cut_short: runs.iter().any(|run| run.cut_short),
        generator_late_p99_us: median(runs, |run| run.generator_late_p99_us.map(|us| us as f64)),
        looked_at_each: runs.iter().all(|run| run.counts.distinct.is_some()),
    })
}

/// The median over the runs that have the value.
fn median(runs: &[&Run], of: fn(&Run) -> Option<f64>) -> Option<f64> {
    Spread::of(runs.iter().filter_map(|run| of(run))).map(|spread| spread.median)
}

/// The percentiles that every run can give, each with the median over the runs.
fn distribution(runs: &[&Run]) -> Vec<(f64, f64)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let samples = runs.iter().map(|run| run.latency.count).min().unwrap_or_default();
    let percentiles = first.latency.distribution.iter().map(|(percentile, _)| *percentile);
    percentiles
        .filter(|percentile| gives(samples, *percentile))
        .filter_map(|percentile| {
            let of = |run: &&Run| {
                let mut points = run.latency.distribution.iter();
                let found = points.find(|(at, _)| at.total_cmp(&percentile).is_eq());
                found.map(|(_, us)| *us as f64)
            };
            let spread = Spread::of(runs.iter().filter_map(of))?;
            Some((percentile, spread.median))
        })
        .collect()
}

fn processor(runs: &[&Run]) -> BTreeMap<String, f64> {
    let Some(first) = runs.first() else { return BTreeMap::new() };
    let processes = first.processor_us_per_job.keys().filter_map(|process| {
        let of = runs.iter().filter_map(|run| run.processor_us_per_job.get(process).copied());
        Some((process.clone(), Spread::of(of)?.median))
    });
    processes.collect()
}

fn refused(runs: &[&Run], at: fn(&Latency) -> u64) -> Option<f64> {
    let latencies = runs.iter().filter_map(|run| Some(&run.refused.as_ref()?.latency));
    Spread::of(latencies.map(|latency| at(latency) as f64)).map(|spread| spread.median)
}

/// `None` where jobs did not go through as before in every run.
pub(super) fn resumed(runs: &[&Run]) -> Option<f64> {
    let each: Option<Vec<f64>> =
        runs.iter().map(|run| run.timeline.as_ref()?.resumed_seconds).collect();
    Spread::of(each?).map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(count: u64, jobs_per_second: f64) -> Run {
        let distribution = [(50.0, 10), (99.0, 20), (100.0, 30)].into();
        let latency = Latency { count, p50_us: 10, distribution, ..Latency::default() };
        Run { jobs_per_second, latency, ..Run::default() }
    }

    #[test]
    fn a_summary_has_no_percentile_that_its_smallest_run_can_not_give() {
        let percentiles = |counts: &[u64]| -> Vec<f64> {
            let runs: Vec<Run> = counts.iter().map(|count| run(*count, 1.0)).collect();
            let summary = of(&runs.iter().collect::<Vec<_>>()).unwrap();
            summary.distribution.iter().map(|(percentile, _)| *percentile).collect()
        };
        assert_eq!(percentiles(&[100, 100]), [50.0, 99.0, 100.0]);
        assert_eq!(percentiles(&[100, 99]), [50.0, 100.0]);
        assert_eq!(percentiles(&[1]), [50.0, 100.0]);
    }

    #[test]
    fn a_summary_holds_the_median_of_its_runs_and_both_ends() {
        let runs = [run(10, 3.0), run(10, 1.0), run(10, 2.0)];
        let summary = of(&runs.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(summary.runs, 3);
        assert_eq!(summary.jobs_per_second, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(of(&[]), None);
    }
}
