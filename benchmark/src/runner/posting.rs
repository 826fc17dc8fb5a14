//! Scenarios in which jobs are posted and no worker runs them.

use std::time::Duration;

use super::arrivals;
use super::load::{Loaded, load, load_order, run_all_stored};
use super::watch::note_link;
use crate::measure::{Latencies, Spread};
use crate::part::order::{LoadOrder, LoadReport, Shape, Via};
use crate::report::Run;
use crate::scenario::{Pace, Parameters};
use crate::stack::Stack;

/// The smallest jobs, posted at a pace.
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
    let (mut run, loaded) = posted(stack, order)?;
    if matches!(pace, Pace::Stream { .. }) {
        run.grew_bytes = loaded.grew("api");
    }
    arrivals::look_at_each(stack, queue, &mut run)?;
    Ok(run)
}

/// Carries out a load, every job of which is to be stored.
fn posted(stack: &Stack, order: LoadOrder) -> anyhow::Result<(Run, Loaded)> {
    let loaded = load(stack, order, &[])?;
    let mut run = run_all_stored(&loaded.report);
    loaded.note_use(stack, &mut run);
    Ok((run, loaded))
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
    let pace = Pace::Clients(clients);
    let order = load_order(parameters, stack, Via::Http, queue, Shape::Events, batch, pace);
    let (mut run, _) = posted(stack, order)?;
    arrivals::count(stack, queue, &mut run)?;
    Ok(run)
}

/// A number of jobs in batches, posted into a number of queues.
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
    let (mut run, _) = posted(stack, order)?;
    arrivals::count_all(stack, queue, &mut run)?;
    Ok(run)
}

/// Batches from the moment on at which a fresh API is ready, several times. The latency is that of
/// each batch.
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
        let report = load(stack, order, &[])?.report;
        for us in &report.each_us {
            latencies.record(*us);
        }
        all.jobs += report.jobs;
        all.seconds += report.seconds;
        all.stored += report.stored;
        all.unknown += report.unknown;
        all.not_stored += report.not_stored;
        all.errors.extend(report.errors);
        all.cut_short |= report.cut_short;
    }
    all.latency = latencies.summary();
    let mut run = run_all_stored(&all);
    run.ready_us = Spread::of(ready_us).map(|spread| spread.median);
    note_link(stack, &mut run);
    arrivals::count(stack, queue, &mut run)?;
    Ok(run)
}
