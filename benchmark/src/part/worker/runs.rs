//! The runs that a worker has noted, and the report about a span of time.

use std::sync::Mutex;

use crate::measure::Latencies;
use crate::part::order::{WorkerReport, note_at};
use crate::part::seen::Seen;

/// One run of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) number: u64,
    /// The job's intended time of posting; 0 where that does not matter.
    pub(super) posted_us: u64,
    pub(super) begin_us: u64,
    pub(super) end_us: u64,
    /// How long the job waited in its queue, where the job asks for that.
    pub(super) waited_us: Option<u64>,
}

/// All runs of a worker so far.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<Vec<Run>>);

impl Runs {
    pub(super) fn note(&self, run: Run) {
        if let Ok(mut runs) = self.0.lock() {
            runs.push(run);
        }
    }

    /// The report about a span of time. The runs are copied first: handlers must not wait for the
    /// report.
    pub(super) fn report(&self, from_us: u64, to_us: u64) -> WorkerReport {
        let runs = self.0.lock().map(|runs| runs.clone()).unwrap_or_default();
        report(&runs, from_us, to_us)
    }
}

fn report(runs: &[Run], from_us: u64, to_us: u64) -> WorkerReport {
    let (mut seen, mut latencies, mut waits, mut took) =
        (Seen::default(), Latencies::default(), Latencies::default(), Latencies::default());
    let mut report = WorkerReport::default();
    for run in runs {
        seen.note(run.number);
        run.waited_us.into_iter().for_each(|us| waits.record(us));
        report.last_end_us = report.last_end_us.max(run.end_us);
        let within = run.end_us.min(to_us).saturating_sub(run.begin_us.max(from_us));
        report.handler_seconds += within as f64 / 1e6;
        if (from_us..to_us).contains(&run.end_us) {
            report.counted += 1;
            note_at(&mut report.timeline, run.end_us - from_us, 1);
            took.record(run.end_us.saturating_sub(run.begin_us));
            // A job of the warm-up may end in the span; its latency does not count.
            if run.posted_us >= from_us.max(1) {
                latencies.record(run.end_us.saturating_sub(run.posted_us));
            }
        }
    }
    (report.runs, report.distinct) = (seen.all(), seen.distinct());
    (report.latency, report.waited, report.took) =
        (latencies.summary(), waits.summary(), took.summary());
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_what_ended_in_the_span_and_the_handlers_time_within_it() {
        let run = |number, begin_us, end_us| Run {
            number,
            posted_us: begin_us,
            begin_us,
            end_us,
            waited_us: None,
        };
        let runs = [
            run(0, 0, 100),
            run(1, 900_000, 1_100_000),
            run(2, 1_200_000, 1_300_000),
            run(2, 1_900_000, 2_500_000),
        ];
        let report = report(&runs, 1_000_000, 2_000_000);
        assert_eq!((report.runs, report.distinct, report.counted), (4, 3, 2));
        assert!((report.handler_seconds - 0.3).abs() < 1e-9, "{report:?}");
        assert_eq!((report.latency.count, report.last_end_us), (1, 2_500_000));
    }
}
