//! A load under way: its order, its process, and its result as a run of a report.

use std::collections::BTreeMap;
use std::time::Duration;

use super::watch::{Watch, note_link};
use crate::distance::Side;
use crate::part::clock::now_us;
use crate::part::order::{Event, LoadOrder, LoadReport, Order, Pattern, Shape, Until, Via};
use crate::process::Part;
use crate::processor::Usage;
use crate::report::{Counts, Run};
use crate::scenario::{Pace, Parameters};
use crate::stack::{READY_WITHIN, Stack, ready};

/// The longest time for a stream.
const STREAM_WITHIN: Duration = Duration::from_secs(300);
/// The longest time for the backlog of an open loop, as a multiple of the loop's own time.
const BACKLOG: u32 = 20;
/// The longest time of a load beyond its own length.
const PATIENCE: Duration = Duration::from_secs(150);

/// The order for a load on a stack.
pub(super) fn load_order(
    parameters: &Parameters,
    stack: &Stack,
    via: Via,
    queue: &str,
    shape: Shape,
    batch: usize,
    pace: Pace,
) -> LoadOrder {
    let (clients, pattern) = match pace {
        Pace::Clients(clients) => {
            (clients, Pattern::Closed { clients, until: Until::Time(parameters.duration) })
        }
        Pace::Jobs { clients, count } => {
            let until = Until::Jobs { count, at_most: parameters.at_most };
            (clients, Pattern::Closed { clients, until })
        }
        Pace::Stream { count } => {
            (1, Pattern::Closed { clients: 1, until: Until::Streamed { count } })
        }
        Pace::PerSecond(per_second) => {
            (stack.connections, Pattern::Open { per_second, lasts: parameters.duration })
        }
    };
    LoadOrder {
        via,
        api: stack.api.clone(),
        key: stack.key.clone(),
        server: Some(stack.server.clone()),
        // The baseline needs no more connections than clients; our link may use all.
        connections: if via.is_baseline() {
            clients.min(stack.connections)
        } else {
            stack.connections
        },
        queue: queue.into(),
        queues: 1,
        shape,
        batch,
        pattern,
        warm_up: parameters.warm_up,
        probe: false,
    }
}

/// A load that has its connections and begins its warm-up.
pub(super) struct Started {
    part: Part,
    via: Via,
    warm_up: Duration,
    lasts: Duration,
}

/// A load that has ended, with the resources that were used in its measured time.
pub(super) struct Loaded {
    pub(super) report: LoadReport,
    /// The beginning of the measured time.
    pub(super) began_us: u64,
    watch: Watch,
    after: Usage,
}

/// Starts a load.
pub(super) fn start(stack: &Stack, order: LoadOrder) -> anyhow::Result<Started> {
    let (via, warm_up) = (order.via, order.warm_up);
    let lasts = match order.pattern {
        Pattern::Closed { until: Until::Time(lasts), .. } | Pattern::Open { lasts, .. } => lasts,
        Pattern::Closed { until: Until::Jobs { at_most, .. }, .. } => at_most,
        Pattern::Closed { until: Until::Streamed { .. }, .. } => STREAM_WITHIN,
    };
    let part = Part::start(&stack.distance, Side::Near, &Order::Load(order))?;
    ready(&part)?;
    Ok(Started { part, via, warm_up, lasts })
}

/// Starts a load and waits for its end; `more` names further processes whose use is measured.
pub(super) fn load(
    stack: &Stack,
    order: LoadOrder,
    more: &[(&'static str, u32)],
) -> anyhow::Result<Loaded> {
    start(stack, order)?.finish(stack, more)
}

impl Started {
    /// Waits for the end of the load.
    pub(super) fn finish(
        self,
        stack: &Stack,
        more: &[(&'static str, u32)],
    ) -> anyhow::Result<Loaded> {
        self.finish_with(stack, more, |_| ())
    }

    /// Waits for the end of the load, and calls `meanwhile` when the measured time has begun.
    pub(super) fn finish_with(
        self,
        stack: &Stack,
        more: &[(&'static str, u32)],
        meanwhile: impl FnOnce(&Stack),
    ) -> anyhow::Result<Loaded> {
        let Self { part, via, warm_up, lasts } = self;
        let mut processes = vec![("client", part.id())];
        processes.extend(more);
        match part.next(warm_up + READY_WITHIN)? {
            Event::Measuring => {}
            other => return part.unexpected(&other),
        }
        let began_us = now_us();
        let watch = Watch::begin(stack, via, &processes);
        meanwhile(stack);
        match part.next(lasts + PATIENCE)? {
            Event::Measured => {}
            other => return part.unexpected(&other),
        }
        let after = watch.end();
        // An open loop may still have a backlog: requests that the way could not keep up with.
        match part.next(lasts * BACKLOG + PATIENCE)? {
            Event::Loaded(report) => Ok(Loaded { report: *report, began_us, watch, after }),
            other => part.unexpected(&other),
        }
    }
}

impl Loaded {
    /// Notes the used resources, and whether the emulator was sound.
    pub(super) fn note_use(&self, stack: &Stack, run: &mut Run) {
        note_link(stack, run);
        self.watch.note(&self.after, run);
    }

    /// The largest memory of each process so far, in bytes.
    pub(super) fn peak(&self) -> BTreeMap<String, u64> {
        self.after.peak.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
    }

    /// The increase of a process's memory, from the beginning to its largest size, in bytes.
    pub(super) fn grew(&self, process: &str) -> Option<f64> {
        self.watch.grew(&self.after, process)
    }
}

/// A load as a run, without a judgement of its outcomes.
pub(super) fn run_of(report: &LoadReport) -> Run {
    Run {
        jobs: report.jobs,
        seconds: report.seconds,
        jobs_per_second: per_second(report.jobs, report.seconds),
        latency: report.latency.clone(),
        cut_short: report.cut_short,
        generator_late_p99_us: report.generator_late_p99_us,
        counts: Counts {
            stored: report.stored,
            unknown: report.unknown,
            not_stored: report.not_stored,
            ..Counts::default()
        },
        ..Run::default()
    }
}

/// A load as a run that fails where any job is not stored.
pub(super) fn run_all_stored(report: &LoadReport) -> Run {
    let mut run = run_of(report);
    let LoadReport { unknown, not_stored, errors, .. } = report;
    if unknown + not_stored > 0 {
        run.failures.push(format!(
            "{not_stored} jobs were not stored, {unknown} jobs have an unknown outcome: {}",
            errors.join("; ")
        ));
    }
    if report.jobs == 0 {
        let nothing = "no request was answered within the measured time".to_owned();
        // Where jobs were stored before or after, the machine was too busy to measure anything.
        let list = if report.stored > 0 { &mut run.void } else { &mut run.failures };
        list.push(nothing);
    }
    run
}

pub(super) fn per_second(jobs: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { jobs as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stored: u64, not_stored: u64, jobs: u64) -> Run {
        run_all_stored(&LoadReport { stored, not_stored, jobs, ..LoadReport::default() })
    }

    #[test]
    fn a_load_that_stored_jobs_outside_of_the_measured_time_alone_is_void_and_no_failure() {
        assert!(run(10, 0, 10).is_sound());
        let outside = run(10, 0, 0);
        assert_eq!((outside.failures.len(), outside.void.len()), (0, 1));
        let nothing = run(0, 0, 0);
        assert_eq!((nothing.failures.len(), nothing.void.len()), (1, 0));
        let lost = run(10, 1, 10);
        assert_eq!((lost.failures.len(), lost.void.len()), (1, 0));
    }
}
