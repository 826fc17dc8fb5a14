//! Jobs are posted, and nobody runs them.

use std::time::Duration;

use anyhow::bail;

use super::PATIENCE;
use super::watch::{Watch, note_link};
use crate::distance::Side;
use crate::measure::{Latencies, Spread};
use crate::part::clock::now_us;
use crate::part::order::{
    Attend, Attended, Event, LoadOrder, LoadReport, Order, Pattern, Shape, Until, Via,
};
use crate::process::Part;
use crate::processor::Usage;
use crate::report::{Counts, Run};
use crate::scenario::{Pace, Parameters};
use crate::stack::{READY_WITHIN, Stack, ready};

/// The longest for a stream.
const STREAM_WITHIN: Duration = Duration::from_secs(300);
/// How many times as long as it was posted the backlog of an open loop may take.
const BACKLOG: u32 = 20;
/// Up to so many jobs, each that arrived is looked at; of more, only their number.
const LOOK_AT_EACH: u64 = 60_000;

pub(super) fn load_order(
    parameters: &Parameters,
    stack: &Stack,
    via: Via,
    queue: &str,
    shape: Shape,
    batch: usize,
    pace: Pace,
) -> LoadOrder {
    let until = |count: Option<u64>| match count {
        Some(count) => Until::Jobs { count, at_most: parameters.at_most },
        None => Until::Time(parameters.duration),
    };
    let (clients, pattern) = match pace {
        Pace::Clients(clients) => (clients, Pattern::Closed { clients, until: until(None) }),
        Pace::Jobs { clients, count } => {
            (clients, Pattern::Closed { clients, until: until(Some(count)) })
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
        server: Some(stack.server.clone()),
        // A baseline client more than there are callers would idle; our link may use all.
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
    }
}

/// Starts a load and waits for its end.
pub(super) fn load(
    stack: &Stack,
    order: LoadOrder,
    more: &[(&'static str, u32)],
) -> anyhow::Result<(LoadReport, Watch, Usage, u64)> {
    started(stack, order)?.finish(stack, more)
}

/// A load that has its connections and begins its warm-up.
pub(super) struct Started {
    part: Part,
    via: Via,
    warm_up: Duration,
    lasts: Duration,
}

pub(super) fn started(stack: &Stack, order: LoadOrder) -> anyhow::Result<Started> {
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

impl Started {
    /// What counts is between the two usages.
    pub(super) fn finish(
        self,
        stack: &Stack,
        more: &[(&'static str, u32)],
    ) -> anyhow::Result<(LoadReport, Watch, Usage, u64)> {
        self.finish_with(stack, more, |_| ())
    }

    /// The same; something happens while it counts.
    pub(super) fn finish_with(
        self,
        stack: &Stack,
        more: &[(&'static str, u32)],
        meanwhile: impl FnOnce(&Stack),
    ) -> anyhow::Result<(LoadReport, Watch, Usage, u64)> {
        let Self { part, via, warm_up, lasts } = self;
        let mut processes = vec![("client", part.id())];
        processes.extend(more);
        match part.next(warm_up + READY_WITHIN)? {
            Event::Measuring => {}
            other => return part.unexpected(&other),
        }
        let began = now_us();
        let watch = Watch::begin(stack, via, &processes);
        meanwhile(stack);
        match part.next(lasts + PATIENCE)? {
            Event::Measured => {}
            other => return part.unexpected(&other),
        }
        let after = watch.end();
        // In an open loop, what the way could not keep up with is still to be answered.
        match part.next(lasts * BACKLOG + PATIENCE)? {
            Event::Loaded(report) => Ok((*report, watch, after, began)),
            other => part.unexpected(&other),
        }
    }
}

pub(super) fn enqueue(
    parameters: &Parameters,
    stack: &mut Stack,
    via: Via,
    queue: &str,
    batch: usize,
    pace: Pace,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order = load_order(parameters, stack, via, queue, Shape::Add, batch, pace);
    let (mut run, watch, after) = posted(stack, order)?;
    if matches!(pace, Pace::Stream { .. }) {
        run.grew_bytes = watch.grew(&after, "api");
    }
    arrivals(stack, queue, &mut run)?;
    Ok(run)
}

/// Carries out a load, every job of which is to be stored.
fn posted(stack: &Stack, order: LoadOrder) -> anyhow::Result<(Run, Watch, Usage)> {
    let (loaded, watch, after, _) = load(stack, order, &[])?;
    let mut run = loaded_run(&loaded);
    note_link(stack, &mut run);
    watch.note(&after, &mut run);
    Ok((run, watch, after))
}

/// Jobs with large args.
pub(super) fn payloads(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    clients: usize,
    batch: usize,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let order = load_order(
        parameters,
        stack,
        Via::Http,
        queue,
        Shape::Events,
        batch,
        Pace::Clients(clients),
    );
    let (mut run, ..) = posted(stack, order)?;
    run.counts.arrived = stack.queue_size(queue)?;
    stack.clear_away(queue)?;
    check_arrivals(&mut run);
    Ok(run)
}

/// So many jobs in batches, into so many queues.
pub(super) fn queues(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    jobs: u64,
    queues: u64,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let pace = Pace::Jobs { clients: 8, count: jobs };
    let order = LoadOrder {
        queues,
        warm_up: Duration::ZERO,
        ..load_order(parameters, stack, Via::Http, queue, Shape::Add, 100, pace)
    };
    let (mut run, ..) = posted(stack, order)?;
    match stack.attend(&Attend::SizeOfAll)? {
        Attended::Size(size) => run.counts.arrived = size,
        other => bail!("the attendant answered {other:?}"),
    }
    stack.clear_away(queue)?;
    check_arrivals(&mut run);
    Ok(run)
}

/// Looks at what arrived, and removes it.
pub(super) fn arrivals(stack: &mut Stack, queue: &str, run: &mut Run) -> anyhow::Result<()> {
    let size = stack.queue_size(queue)?;
    run.counts.arrived = size;
    if size <= LOOK_AT_EACH {
        match stack.attend(&Attend::Drain { queue: queue.into() })? {
            Attended::Drained { jobs, distinct } => {
                run.counts.arrived = jobs;
                run.counts.distinct = Some(distinct);
            }
            other => bail!("the attendant answered {other:?}"),
        }
    }
    stack.clear_away(queue)?;
    check_arrivals(run);
    Ok(())
}

/// Each time a fresh API, and batches from the moment it is ready on. The latency is that of each
/// batch.
pub(super) fn after_ready(
    parameters: &Parameters,
    stack: &mut Stack,
    queue: &str,
    batch: usize,
    requests: u64,
    times: usize,
) -> anyhow::Result<Run> {
    stack.distance.watch();
    let mut all = LoadReport::default();
    let mut latencies = Latencies::default();
    let mut ready_us = Vec::new();
    for _ in 0..times {
        ready_us.push(stack.restart_api()?.as_micros() as f64);
        let pace = Pace::Jobs { clients: 1, count: requests * batch as u64 };
        let order = LoadOrder {
            warm_up: Duration::ZERO,
            ..load_order(parameters, stack, Via::Http, queue, Shape::Add, batch, pace)
        };
        let (loaded, ..) = load(stack, order, &[])?;
        for us in &loaded.each_us {
            latencies.record(*us);
        }
        all.jobs += loaded.jobs;
        all.seconds += loaded.seconds;
        all.stored += loaded.stored;
        all.unknown += loaded.unknown;
        all.not_stored += loaded.not_stored;
        all.errors.extend(loaded.errors);
        all.cut_short |= loaded.cut_short;
    }
    all.latency = latencies.summary();
    let mut run = loaded_run(&all);
    run.ready_us = Spread::of(ready_us).map(|spread| spread.median);
    note_link(stack, &mut run);
    run.counts.arrived = stack.queue_size(queue)?;
    stack.clear_away(queue)?;
    check_arrivals(&mut run);
    Ok(run)
}

pub(super) fn loaded_run(loaded: &LoadReport) -> Run {
    let mut run = Run {
        jobs: loaded.jobs,
        seconds: loaded.seconds,
        jobs_per_second: per_second(loaded.jobs, loaded.seconds),
        latency: loaded.latency.clone(),
        cut_short: loaded.cut_short,
        generator_late_p99_us: loaded.generator_late_p99_us,
        counts: Counts {
            stored: loaded.stored,
            unknown: loaded.unknown,
            not_stored: loaded.not_stored,
            ..Counts::default()
        },
        ..Run::default()
    };
    if loaded.unknown + loaded.not_stored > 0 {
        let (unknown, not_stored) = (loaded.unknown, loaded.not_stored);
        run.failures.push(format!(
            "{not_stored} jobs were not stored, of {unknown} nobody knows: {}",
            loaded.errors.join("; ")
        ));
    }
    if loaded.jobs == 0 {
        run.failures.push("nothing was answered within what is measured".into());
    }
    run
}

pub(super) fn per_second(jobs: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { jobs as f64 / seconds } else { 0.0 }
}

/// Jobs that were answered as stored must be there, each once.
pub(super) fn check_arrivals(run: &mut Run) {
    let counts = run.counts;
    let different = counts.distinct.unwrap_or(counts.arrived);
    if different < counts.stored {
        run.failures.push(format!("{} jobs were lost", counts.stored - different));
    }
    if counts.arrived > counts.stored + counts.unknown {
        run.failures.push(format!(
            "{} jobs arrived that were not answered as stored",
            counts.arrived - counts.stored - counts.unknown
        ));
    }
    if counts.arrived > different {
        run.failures.push(format!("{} jobs were doubled", counts.arrived - different));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(stored: u64, unknown: u64, arrived: u64, distinct: Option<u64>) -> Vec<String> {
        let mut run = Run {
            counts: Counts { stored, unknown, not_stored: 0, arrived, distinct },
            ..Run::default()
        };
        check_arrivals(&mut run);
        run.failures
    }

    #[test]
    fn a_lost_or_doubled_job_fails_the_run() {
        assert!(failures(10, 0, 10, Some(10)).is_empty());
        assert!(failures(10, 2, 11, Some(11)).is_empty(), "one of the unknown arrived");
        assert!(failures(10, 0, 10, None).is_empty());
        assert_eq!(failures(10, 0, 9, Some(9)), ["1 jobs were lost"]);
        assert_eq!(failures(10, 0, 9, None), ["1 jobs were lost"]);
        assert_eq!(
            failures(10, 0, 10, Some(9)),
            ["1 jobs were lost", "1 jobs were doubled"],
            "one hides the other"
        );
        assert_eq!(
            failures(10, 0, 11, Some(10)),
            ["1 jobs arrived that were not answered as stored", "1 jobs were doubled"]
        );
    }
}
