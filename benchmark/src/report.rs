//! The report: what was measured, on what, and how sure it is. As JSON it is the record; table and
//! page are views of it.

pub(crate) mod charts;
pub(crate) mod compare;
pub(crate) mod machine;
pub(crate) mod page;
pub(crate) mod readme;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use link_emulator::CongestionControl;
use serde::{Deserialize, Serialize};

use crate::distance::{Means, Watched};
use crate::measure::{Latency, Spread};
use crate::network::Network;
use crate::part::order::{Refused, Via};
use crate::runner::Chaos;
use crate::scenario::{Focus, Parameters};
use machine::Machine;

/// The format of the JSON document.
const FORMAT: u32 = 1;

/// One report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) format: u32,
    /// RFC 3339, when the run began.
    pub(crate) began: String,
    /// How long it took, in seconds.
    pub(crate) took_seconds: f64,
    /// The words it was started with.
    pub(crate) command: Vec<String>,
    pub(crate) machine: Machine,
    /// The work server's name and version.
    pub(crate) work_server: String,
    pub(crate) distance: Means,
    pub(crate) congestion: Option<CongestionControl>,
    pub(crate) parameters: Parameters,
    pub(crate) networks: Vec<MeasuredNetwork>,
    pub(crate) figures: Vec<Figure>,
    /// What a reader must know before the figures.
    pub(crate) warnings: Vec<String>,
}

/// A network and the round trip found on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MeasuredNetwork {
    #[serde(flatten)]
    pub(crate) network: Network,
    /// TCP's handshake, in milliseconds: the median of the repetitions.
    pub(crate) round_trip_ms: f64,
}

/// One scenario on one network by one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) network: String,
    pub(crate) scenario: String,
    pub(crate) title: String,
    pub(crate) focus: Focus,
    pub(crate) via: Via,
    /// Of the runs that count.
    pub(crate) summary: Option<Summary>,
    pub(crate) runs: Vec<Run>,
}

/// Medians over the runs that count, with both ends.
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

/// One measurement.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) repetition: usize,
    /// Jobs that count.
    pub(crate) jobs: u64,
    pub(crate) seconds: f64,
    pub(crate) jobs_per_second: f64,
    pub(crate) latency: Latency,
    pub(crate) processor_us_per_job: BTreeMap<String, f64>,
    /// Resident memory at the end, in bytes.
    pub(crate) resident_bytes: BTreeMap<String, u64>,
    pub(crate) handler_share: Option<f64>,
    /// The most jobs that the work server had reserved at any time, where that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reserved: Option<u64>,
    /// The most jobs that the worker had fetched and not finished at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<u64>,
    /// Jobs that workers which were told to end had fetched and gave back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) given_back: Option<u64>,
    /// What became of jobs while workers came and went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chaos: Option<Chaos>,
    /// What happened when, where the link was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeline: Option<Timeline>,
    /// Of all jobs, those that the worker with the fewest has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) least_share: Option<f64>,
    /// From the start of the API's process until it was ready, in microseconds, the median where it
    /// was started several times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ready_us: Option<f64>,
    /// Requests of which nothing was stored, where that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Refused>,
    /// What the API's memory grew by, in bytes, at the most; over a stream from its 10,000th job
    /// on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grew_bytes: Option<f64>,
    pub(crate) cut_short: bool,
    pub(crate) generator_late_p99_us: Option<u64>,
    pub(crate) counts: Counts,
    /// The whole of it, preparation and looking after jobs included, in seconds.
    pub(crate) took_seconds: f64,
    /// The share of the machine's processor time that other machines took.
    pub(crate) stolen_share: f64,
    pub(crate) link: Option<Watched>,
    /// Jobs lost or doubled, errors: the whole report counts as failed.
    pub(crate) failures: Vec<String>,
    /// Why this run does not count: the emulator was not sound. It was measured again.
    pub(crate) void: Vec<String>,
}

/// Jobs a second over a time in which the link was cut.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// How long each step is, in seconds.
    pub(crate) step_seconds: f64,
    pub(crate) jobs_per_second: Vec<f64>,
    /// When the link was cut, and when it was whole again, in seconds.
    pub(crate) cut: (f64, f64),
    /// How long after that four fifths of the rate before were reached again, in seconds; `None`
    /// where they were not.
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

/// What became of all jobs of a run, warm-up included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Posted and answered as stored.
    pub(crate) stored: u64,
    /// Posted without an answer that tells.
    pub(crate) unknown: u64,
    /// Posted and not stored.
    pub(crate) not_stored: u64,
    /// Found in the work server, or run.
    pub(crate) arrived: u64,
    /// Different jobs among those; none where only their number was looked at.
    pub(crate) distinct: Option<u64>,
}

impl Run {
    /// Bytes from the near side to the far side for each job that arrived, headers included.
    fn sent_bytes_per_job(&self) -> Option<f64> {
        let counters = self.link.as_ref()?.near_to_far;
        Some(counters.bytes as f64 / self.counts.arrived.max(1) as f64)
    }

    /// Whether it counts.
    pub(crate) const fn is_sound(&self) -> bool {
        self.void.is_empty() && self.failures.is_empty()
    }
}

impl Figure {
    /// Summarises the runs that count.
    pub(crate) fn summarise(&mut self) {
        let sound: Vec<&Run> = self.runs.iter().filter(|run| run.is_sound()).collect();
        self.summary = summary(&sound);
    }
}

fn summary(runs: &[&Run]) -> Option<Summary> {
    let first = runs.first()?;
    let spread = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(|run| of(run)));
    let percentiles = first.latency.distribution.iter().map(|(percentile, _)| *percentile);
    let distribution = percentiles.filter_map(|percentile| {
        let of = |run: &&Run| {
            let found =
                run.latency.distribution.iter().find(|(at, _)| at.total_cmp(&percentile).is_eq());
            found.map(|(_, us)| *us as f64)
        };
        Spread::of(runs.iter().filter_map(of)).map(|spread| (percentile, spread.median))
    });
    let processes = first.processor_us_per_job.keys().filter_map(|process| {
        let of = runs.iter().filter_map(|run| run.processor_us_per_job.get(process).copied());
        Some((process.clone(), Spread::of(of)?.median))
    });
    let refused = |at: fn(&Latency) -> u64| {
        let of = runs
            .iter()
            .filter_map(|run| run.refused.as_ref().map(|refused| at(&refused.latency) as f64));
        Spread::of(of).map(|spread| spread.median)
    };
    Some(Summary {
        runs: runs.len(),
        jobs_per_second: spread(|run| run.jobs_per_second)?,
        seconds: spread(|run| run.seconds)?,
        p50_us: spread(|run| run.latency.p50_us as f64)?,
        p99_us: spread(|run| run.latency.p99_us as f64)?,
        max_us: spread(|run| run.latency.max_us as f64)?,
        distribution: distribution.collect(),
        processor_us_per_job: processes.collect(),
        handler_share: Spread::of(runs.iter().filter_map(|run| run.handler_share))
            .map(|spread| spread.median),
        ready_us: Spread::of(runs.iter().filter_map(|run| run.ready_us))
            .map(|spread| spread.median),
        refused_us: refused(|latency| latency.p50_us).zip(refused(|latency| latency.p99_us)),
        grew_bytes: Spread::of(runs.iter().filter_map(|run| run.grew_bytes))
            .map(|spread| spread.median),
        sent_bytes_per_job: Spread::of(runs.iter().filter_map(|run| run.sent_bytes_per_job()))
            .map(|spread| spread.median),
        unknown: runs
            .iter()
            .map(|run| run.counts.unknown)
            .max()
            .filter(|most| *most > 0)
            .map(|most| most as f64),
        resumed_seconds: resumed(runs),
        p95_us: spread(|run| run.latency.at(95.0) as f64).map_or(0.0, |spread| spread.median),
        cut_short: runs.iter().any(|run| run.cut_short),
        generator_late_p99_us: Spread::of(
            runs.iter().filter_map(|run| run.generator_late_p99_us.map(|us| us as f64)),
        )
        .map(|spread| spread.median),
        looked_at_each: runs.iter().all(|run| run.counts.distinct.is_some()),
    })
}

fn resumed(runs: &[&Run]) -> Option<f64> {
    let each: Option<Vec<f64>> =
        runs.iter().map(|run| run.timeline.as_ref()?.resumed_seconds).collect();
    Spread::of(each?).map(|spread| spread.median)
}

impl Report {
    /// An empty one.
    pub(crate) fn begin(machine: Machine, parameters: Parameters, command: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            began: machine::now(),
            took_seconds: 0.0,
            command,
            machine,
            work_server: String::new(),
            distance: Means::Given,
            congestion: None,
            parameters,
            networks: Vec::new(),
            figures: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The figure of a scenario on a network by one way.
    pub(crate) fn figure(&self, network: &str, scenario: &str, via: Via) -> Option<&Figure> {
        self.figures.iter().find(|figure| {
            figure.network == network && figure.scenario == scenario && figure.via == via
        })
    }

    /// Everything that makes the run a failure: jobs lost or doubled, errors, and figures of which
    /// no run counts.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for figure in &self.figures {
            let name = format!("{} · {} · {}", figure.network, figure.scenario, figure.via.name());
            failures.extend(
                figure.runs.iter().flat_map(|run| {
                    run.failures.iter().map(|failure| format!("{name}: {failure}"))
                }),
            );
            if figure.summary.is_none() {
                failures.push(format!("{name}: no run counts"));
            }
        }
        failures
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let report: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of this benchmark", path.display()))?;
        anyhow::ensure!(
            report.format == FORMAT,
            "{} has format {}, this program reads {FORMAT}",
            path.display(),
            report.format
        );
        Ok(report)
    }
}
